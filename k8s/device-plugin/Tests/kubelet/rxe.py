#!/usr/bin/env python3
"""The device plugin on a machine with a real RDMA device, rxe0 (in the guest): its sysfs, its events, its nodes.
Usage: rxe.py --plugin PROGRAM --rdmad PROGRAM        Ends with `N passed, N failed`."""
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

from bench import HCA, Bench, nodes, until

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class RealNode:
    sys, dev = '/sys', '/dev'


def shell(line, status=0):
    done = subprocess.run(['sh', '-c', line], capture_output=True, text=True, timeout=60, check=False)
    assert status is None or done.returncode == status, f'{line}: {done.returncode} {done.stdout}{done.stderr}'
    return done.stdout


def netdev_of(device):
    with open(f'/sys/class/infiniband/{device}/parent') as file:
        return file.read().strip()


def begin(b, *resources, **options):
    """Only events tell in this time: the fallback looks once an hour."""
    kubelet = b.kubelet().start()
    b.start(*(resources or [b.resource(selectors=[{'rdmaDevices': ['rxe*', 'siw*']}])]),
            **{'poll_interval': '3600', **options})
    kubelet.wait_count(HCA, 4, seconds=20)
    return kubelet


@check
def row_15_the_real_device_is_found(b):
    kubelet = begin(b)
    assert kubelet.ids(HCA) == [f'rxe0-{k}' for k in range(4)], kubelet.ids(HCA)
    with kubelet.changed:
        assert not kubelet.devices[HCA]['rxe0-0'].HasField('topology'), 'a software device is on no NUMA node'
    answer = kubelet.call_allocate(HCA, ['rxe0-1'])
    assert nodes(answer) == ['rdma_cm', 'uverbs0'], answer
    assert '0a09:0001' in answer.envs['RDMAD_DEVICE_INFO'], f'10.9.0.1 is not among the addresses: {answer.envs}'


@check
def row_07_link_down_and_up(b):
    kubelet, netdev = begin(b), netdev_of('rxe0')
    took = []
    for _ in range(3):
        for state, healthy in (('down', 0), ('up', 4)):
            began = time.monotonic()
            shell(f'ip link set {netdev} {state}')
            kubelet.wait_count(HCA, 4, healthy, seconds=5)
            took.append((time.monotonic() - began) * 1000)
    assert len(kubelet.seen('register')) == 1
    print(f'figure: ip link set down and up: known to the kubelet after {min(took):.0f} to {max(took):.0f} ms')


@check
def row_08_devices_come_and_go(b):
    """`rdma link add` and `rdma link delete`, Soft-RoCE and siw."""
    kubelet = begin(b)
    shell('ip link add rdmad1 type dummy && ip link set rdmad1 up')
    try:
        for kind in ('rxe', 'siw', 'rxe'):
            shell(f'rdma link add {kind}7 type {kind} netdev rdmad1')
            kubelet.wait_count(HCA, 8, seconds=5)
            answer = kubelet.call_allocate(HCA, [f'{kind}7-0'])
            assert nodes(answer) == ['rdma_cm', 'uverbs1'], answer
            shell(f'rdma link delete {kind}7')
            kubelet.wait_count(HCA, 4, seconds=5)
    finally:
        shell('ip link delete rdmad1')
    assert len(kubelet.seen('register')) == 1


@check
def row_08_by_looking_where_no_event_comes(b):
    """A plugin in a network namespace of its own, as in a Pod, hears no netlink: it looks."""
    in_namespace = ['unshare', '--net', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh']
    kubelet = begin(b, poll_interval='0.2', prefix=in_namespace)
    netdev = netdev_of('rxe0')
    shell(f'ip link set {netdev} down')
    kubelet.wait_count(HCA, 4, 0, seconds=5)
    shell(f'ip link set {netdev} up')
    kubelet.wait_count(HCA, 4, seconds=5)


@check
def row_16_exclusive_namespaces(b):
    """RDMA devices that belong to a network namespace: it says so, serves what it sees, and goes on."""
    shell('rdma system set netns exclusive')
    try:
        kubelet = begin(b)
        until(lambda: 'exclusive' in b.plugin.text(), 5, 'the log says so')
        shell(f'ip link set {netdev_of("rxe0")} down')
        kubelet.wait_count(HCA, 4, 0, seconds=5)
        shell(f'ip link set {netdev_of("rxe0")} up')
        kubelet.wait_count(HCA, 4, seconds=5)
        assert b.plugin.alive()
    finally:
        b.plugin.end()
        shell('rdma system set netns shared')


@check
def row_02_kubelet_restarts(b):
    kubelet = begin(b)
    for _ in range(5):
        kubelet.restart()
        kubelet.wait_count(HCA, 4, seconds=4)


# What a container runtime does with an answer: new namespaces, a /dev with what every container has and these nodes,
# and a user without privileges, whose memlock limit is 64 MiB (the queues and buffers of both ends are pinned).
CONTAINER = '''
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /tmp/container-dev
for name in null zero full random urandom; do
  touch /tmp/container-dev/$name
  mount --bind /dev/$name /tmp/container-dev/$name
done
mkdir /tmp/container-dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp/container-dev/shm
while [ "$1" != -- ]; do
  mkdir -p "/tmp/container-dev/$(dirname "${1#/dev/}")"
  touch "/tmp/container-dev/${1#/dev/}"
  mount --bind "$2" "/tmp/container-dev/${1#/dev/}"
  shift 2
done
shift
mount --move /tmp/container-dev /dev
exec prlimit --memlock=67108864 setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all \\
  --inh-caps=-all --no-new-privs -- "$@"
'''


def contained(devices, *command):
    """Runs a command in a container with these device nodes: (status, output)."""
    os.makedirs('/tmp/container-dev', exist_ok=True)
    pairs = [part for device in devices for part in (device.container_path, device.host_path)]
    done = subprocess.run(['unshare', '--mount', '--pid', '--fork', '--mount-proc', 'sh', '-c', CONTAINER, 'sh',
                           *pairs, '--', *command], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@check
def what_is_allocated_is_enough_and_needed(b):
    """A process without privileges, in namespaces with the nodes of the answer only, echoes messages over rxe."""
    shell('ip link add rdmad1 type dummy && ip address add 10.9.7.1/24 dev rdmad1 && ip link set rdmad1 up')
    shell('rdma link add rxe7 type rxe netdev rdmad1')
    try:
        kubelet = b.kubelet().start()
        b.start(b.resource(selectors=[{'rdmaDevices': ['rxe*']}]))
        kubelet.wait_count(HCA, 8, seconds=20)
        answers = {name: kubelet.call_allocate(HCA, [f'{name}-2']).devices for name in ('rxe0', 'rxe7')}

        def echo(device):
            return (b.rdmad, 'bench', 'transport', 'send-lat', '--loopback', '-e', '-d', device, '-n', '200')
        status, out = contained(answers['rxe0'], 'sh', '-c',
                                'id -u; ls /dev/infiniband; grep -E "CapEff|NoNewPrivs|NSpid" /proc/self/status')
        assert status == 0 and '65534' in out and 'CapEff:\t0000000000000000' in out, out
        assert 'uverbs0' in out and 'rdma_cm' in out and 'uverbs1' not in out and 'umad' not in out, out
        for name in ('rxe0', 'rxe7'):
            status, out = contained(answers[name], *echo(name))
            assert status == 0, f'with {name} allocated: {out}'
            print(f'figure: {out.strip().splitlines()[-1]}')
        # Without the allocation: no node at all, then those of the other device.
        status, out = contained([], *echo('rxe0'))
        assert status != 0, f'without an allocation: {out}'
        status, out = contained(answers['rxe7'], *echo('rxe0'))
        assert status != 0, f'with the other device: {out}'
        status, out = contained([d for d in answers['rxe0'] if not d.host_path.endswith('rdma_cm')], *echo('rxe0'))
        assert status != 0, f'without rdma_cm: {out}'
    finally:
        b.plugin.end()
        shell('rdma link delete rxe7; ip link delete rdmad1')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--plugin', required=True)
    parser.add_argument('--rdmad', required=True)
    parser.add_argument('--only', default='')
    arguments = parser.parse_args()
    failed = passed = 0
    for function in CHECKS:
        if arguments.only not in function.__name__:
            continue
        directory = tempfile.mkdtemp(prefix='k8s.')
        b, began = Bench(directory, arguments.plugin, ''), time.monotonic()
        b.node, b.rdmad = RealNode, arguments.rdmad
        try:
            function(b)
        except Exception:
            failed += 1
            print(f'FAILED {function.__name__}', flush=True)
            traceback.print_exc(file=sys.stdout)
            if b.plugin is not None:
                print('the plugin said last:\n' + '\n'.join(b.plugin.text().splitlines()[-20:]))
        else:
            passed += 1
            print(f'ok     {function.__name__} ({(time.monotonic() - began) * 1000:.0f} ms)', flush=True)
        finally:
            b.close()
            shutil.rmtree(directory, ignore_errors=True)
    print(f'{passed} passed, {failed} failed', flush=True)
    os._exit(1 if failed or not passed else 0)


if __name__ == '__main__':
    main()
