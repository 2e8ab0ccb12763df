#!/usr/bin/env python3
"""What the device plugin takes beside a played kubelet. Usage: figures.py start|memory PROGRAM
Ends with `NAME VALUE GOAL ok|short`, and 0 or 1."""
import shutil
import signal
import statistics
import sys
import tempfile
import time

from bench import HCA, Bench

ROUNDS = 15


def start(b):
    """Milliseconds from exec to the first list at the kubelet, two HCAs of 64 shares."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    registered, listed = [], []
    for _ in range(ROUNDS):
        since = len(kubelet.events)
        plugin = b.start(b.resource(shares=64), log_level='info')
        kubelet.wait(lambda s=since: kubelet.seen('message', HCA, s), 30, 'sends its list')
        registered.append((kubelet.seen('register', HCA, since)[0][0] - plugin.started) * 1000)
        listed.append((kubelet.seen('message', HCA, since)[0][0] - plugin.started) * 1000)
        plugin.end(signal.SIGTERM)
    print(f'from start to Register {statistics.median(registered):.0f} ms; to the list at the kubelet '
          f'{min(listed):.0f} to {max(listed):.0f} ms')
    value = statistics.median(listed)
    return f'k8s.start-to-registered {value:.0f}ms <=200ms', value <= 200


def memory(b):
    """MiB resident with eight HCAs of 64 shares, after kubelets have come and gone and Pods were admitted."""
    for number in range(8):
        b.node.add_mellanox(f'mlx5_{number}', f'0000:{0x30 + number:02x}:00.0', f'ens{number}', numa=number % 2)
    kubelet = b.kubelet().start()
    b.start(b.resource(shares=64), poll_interval='2', log_level='info')
    kubelet.wait_count(HCA, 512, seconds=30)
    first = b.plugin.resident_bytes()
    for _ in range(10):
        kubelet.restart()
        kubelet.wait_count(HCA, 512)
        for _ in range(20):
            kubelet.allocate(HCA, 3)
        b.get('/metrics')
    before = b.plugin.cpu_seconds()
    time.sleep(10)
    used = (b.plugin.cpu_seconds() - before) * 10
    value = b.plugin.resident_bytes() / 1048576
    print(f'{first / 1048576:.1f} MiB after the start; {used:.2f} % of a processor at rest')
    return f'k8s.memory {value:.1f}MiB <=30MiB', value <= 30


directory = tempfile.mkdtemp(prefix='k8s.')
bench = Bench(directory, sys.argv[2], '')
try:
    line, good = {'start': start, 'memory': memory}[sys.argv[1]](bench)
finally:
    bench.close()
    shutil.rmtree(directory, ignore_errors=True)
print(line, 'ok' if good else 'short')
sys.exit(0 if good else 1)
