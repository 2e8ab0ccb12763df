"""Row 13 for real: podman and runc read the plugin's CDI spec and make a container of it."""
import os
import shutil
import subprocess

from bench import case

# podman reads this one, and nobody can tell it another.
CDI = '/var/run/cdi'


def podman(b, *arguments, devices=()):
    """Runs a shell line in a container with nothing but busybox and these devices: (status, output)."""
    root = os.path.join(b.directory, 'image')
    if not os.path.exists(root):
        for name in ('bin', 'proc', 'dev', 'sys', 'tmp', 'etc', 'run', 'var'):
            os.makedirs(os.path.join(root, name))
        shutil.copy(shutil.which('busybox'), os.path.join(root, 'bin/busybox'))
        os.symlink('busybox', os.path.join(root, 'bin/sh'))
    # The limits are said because not every machine lets podman raise its own.
    command = ['podman', '--root', os.path.join(b.directory, 'storage'), '--runroot', os.path.join(b.directory, 'run'),
               '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', 'run', '--rm', '--network', 'none',
               '--ulimit', 'nofile=4096:4096', '--ulimit', 'nproc=4096:4096', '--cap-drop', 'ALL',
               '--security-opt', 'no-new-privileges', *[p for d in devices for p in ('--device', d)],
               '--rootfs', root, '/bin/sh', '-c', ' '.join(arguments)]
    # The runtime may look in /dev, whatever the plugin's --dev-root: in this namespace the fake nodes are there. The
    # directory stays: to remove it would take away the mounts of others who test here.
    command = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /dev/infiniband && shift && exec "$@"', 'sh',
               os.path.join(b.node.dev, 'infiniband'), *command]
    os.makedirs('/dev/infiniband', exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@case(13)
def podman_injects_the_spec(b):
    b.two_hcas()
    kind = f'test-{os.getpid()}.rdmad.dev/hca'
    kubelet = b.kubelet().start()
    os.makedirs(CDI, exist_ok=True)
    before = set(os.listdir(CDI))
    try:
        b.start(b.resource(kind), cdi='on', cdi_dir=CDI)
        kubelet.wait_count(kind, 8)
        answer = kubelet.call_allocate(kind, ['0000:3b:00.0-1'])
        look = 'cd /dev/infiniband && for n in *; do busybox stat -c "%n %F %t:%T" $n; echo > $n || exit 3; done'
        status, out = podman(b, look, devices=[d.name for d in answer.cdi_devices])
        assert status == 0, out
        # Null devices stand for the nodes; writing to them shows that the container's cgroup lets it.
        assert out.split('\n')[:2] == [f'{n} character special file 1:3' for n in ('rdma_cm', 'uverbs0')], out
        assert 'uverbs1' not in out, out
        both = kubelet.call_allocate(kind, ['0000:3b:00.0-1', '0000:af:00.0-0'])
        status, out = podman(b, look, devices=[d.name for d in both.cdi_devices])
        assert status == 0 and 'uverbs0' in out and 'uverbs1' in out, out
        # The controls: without the device there is no node, and a device that is not in the spec is none.
        status, out = podman(b, look)
        assert status != 0, out
        status, out = podman(b, 'true', devices=[f'{kind}=mlx5_9'])
        assert status != 0 and 'mlx5_9' in out, out
    finally:
        if b.plugin is not None:
            b.plugin.end()
        for name in set(os.listdir(CDI)) - before:
            if kind.split('/', maxsplit=1)[0] in name:
                os.unlink(os.path.join(CDI, name))
