"""Runs a command as a container engine would with a read-only root, no capabilities and a user that is not root.

    jail.py ROOT UID GID COMMAND...

ROOT is bound onto itself read-only, in a mount name space of this process's own, and nothing else is in it: no /proc, no /dev. The
process that is started is this one. Needs root.
"""

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 23, 24, 38

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result < 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


def mount(source, place, flags, what):
    checked(libc.mount(source and source.encode(), place.encode(), None, ctypes.c_ulong(flags), None), what)


def main():
    root, user, group, *command = sys.argv[1:]
    checked(libc.unshare(CLONE_NEWNS), "a mount name space")
    mount(None, "/", MS_REC | MS_PRIVATE, "mounts of its own")
    mount(root, root, MS_BIND, "the root")
    mount(None, root, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, "a read-only root")
    os.chdir(root)
    os.chroot(".")
    os.chdir("/")
    capability = 0
    while libc.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0:
        checked(libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0), f"without capability {capability}")
        capability += 1
    os.setgroups([])
    os.setresgid(*[int(group)] * 3)
    os.setresuid(*[int(user)] * 3)
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    os.execve(command[0], command, {})


main()
