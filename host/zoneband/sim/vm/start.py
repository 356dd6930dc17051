"""What MicroPython's start does on a band: the file system, boot.py, main.py, then the REPL.

On a flashed chip "/" is the littlefs of its `vfs` partition, and this computer's files are below
/host, where only the stand-ins look. After a soft reset of the raw REPL, or a boot.py that failed,
no main.py is run.

No Ctrl-C interrupts it before boot.py, however long this computer takes: on a chip the interrupt is
let in when boot.py begins.
"""

import micropython

micropython.kbd_intr(-1)

import sys  # noqa: E402

import _air  # noqa: E402 (from here on the supervisor hands over what came by the cable)
import uos  # noqa: E402


def _mount():
    import flashmap
    import vfs
    from nor import NorFlash

    vfs.mount(vfs.VfsPosix("/"), "/host")
    flash = flashmap.flash("vfs", NorFlash)
    vfs.umount("/")
    sys.path[:] = ["/host" + uos.getenv("STAND_IN_VM"), "", ".frozen", "/lib"]
    if not flash:
        print("no partition vfs")
        return
    try:
        disk = vfs.VfsLfs2(flash)
    except OSError:
        first = bytearray(4096)
        flash.readblocks(0, first, 0)
        if first != b"\xff" * 4096:
            # As MicroPython's inisetup: what is there may be somebody's, so it stays.
            print("The filesystem appears to be corrupted.")
            return
        vfs.VfsLfs2.mkfs(flash)
        disk = vfs.VfsLfs2(flash)
    vfs.mount(disk, "/")


def _run(name):
    # False when it failed.
    try:
        uos.stat(name + ".py")
    except OSError:
        return True
    try:
        __import__(name)
    except SystemExit:
        raise
    except BaseException as error:
        sys.print_exception(error)
        return False
    return True


if uos.getenv("STAND_IN_FLASH"):
    _mount()
_air.wait(_air.now_us + int(uos.getenv("STAND_IN_ROM_US") or "0"))
micropython.kbd_intr(3)
if _run("boot") and uos.getenv("STAND_IN_MAIN"):
    _air.wait(_air.now_us + int(uos.getenv("STAND_IN_IMPORT_US") or "0"))
    _run("main")
