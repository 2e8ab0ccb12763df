"""Runs a container's process, or another one in it, from a description in JSON: what a container runtime does, as far as
a test needs it. No seccomp filter, no cgroup. Runs as root in new mount and PID namespaces (see pods.py).
Usage: container.py run|exec DESCRIPTION"""
import ctypes
import json
import os
import resource
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
CAPABILITIES = {'IPC_LOCK': 14}


def call(name, *arguments):
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f'{name}{arguments}: {os.strerror(number)}')


def mount(*words):
    subprocess.run(['mount', *words], check=True)


def make_root(about):
    root = about['root']
    mount('--make-rprivate', '/')
    mount('--bind', root, root)
    mount('-t', 'proc', 'proc', f'{root}/proc')
    mount('-t', 'sysfs', '-o', 'ro', 'sysfs', f'{root}/sys')
    mount('-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', f'{root}/dev')
    for name in ('null', 'zero', 'full', 'random', 'urandom'):
        open(f'{root}/dev/{name}', 'w').close()
        mount('--bind', f'/dev/{name}', f'{root}/dev/{name}')
    for source, target, read_only in about['mounts']:
        os.makedirs(root + (target if os.path.isdir(source) else os.path.dirname(target)), exist_ok=True)
        if not os.path.isdir(source):
            open(root + target, 'w').close()
        mount('--bind', source, root + target)
        if read_only:
            mount('-o', 'remount,bind,ro', root + target)
    mount('-o', 'remount,bind,ro', root)


def enter(about):
    """Joins the namespaces of the container's first process."""
    process = f"/proc/{about['process']}"
    root = os.open(f'{process}/root', os.O_RDONLY | os.O_DIRECTORY)
    for name in ('net', 'mnt', 'pid'):
        descriptor = os.open(f'{process}/ns/{name}', os.O_RDONLY)
        call('setns', descriptor, 0)
    child = os.fork()
    if child:
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xff)
    os.fchdir(root)
    os.chroot('.')


def become(about):
    """Gives up what the manifest says, then is the container's program."""
    # As on real nodes.
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (8 << 20, 8 << 20))
    kept = {CAPABILITIES[name] for name in about['capabilities']}
    with open('/proc/sys/kernel/cap_last_cap') as file:
        last = int(file.read())
    for number in range(last + 1):
        if number not in kept:
            call('prctl', PR_CAPBSET_DROP, number, 0, 0, 0)
    call('prctl', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setgroups([about['group']] if about['group'] else [])
    os.setresgid(*[about['gid']] * 3)
    os.setresuid(*[about['uid']] * 3)
    call('prctl', PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.execve(about['command'][0], about['command'], about['environment'])


def main():
    with open(sys.argv[2]) as file:
        about = json.load(file)
    if sys.argv[1] == 'run':
        make_root(about)
        os.chroot(about['root'])
    else:
        enter(about)
    os.chdir('/')
    become(about)


main()
