# The band itself. Imports point one way: wire <- band.
