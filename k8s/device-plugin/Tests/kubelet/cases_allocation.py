"""Rows 9, 10, 12 and 13: what a container gets."""
import json
import os
import threading
import time

import grpc

from bench import HCA, case, nodes, until, uverbs
from fake_node import INFINIBAND
from peer import AdmissionError

SEAT = 'rdmad.dev/client'


def refusal(call):
    """The status of a call that must be refused, and its text."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    raise AssertionError('was not refused')


def hcas_of(ids):
    return {i.rsplit('-', 1)[0] for i in ids}


@case(9, controls=['every-node'])
def one_of_two_hcas_is_one_node(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    ids, answer = kubelet.allocate(HCA, 1)
    [hca] = [h for h in ('mlx5_0', 'mlx5_1') if b.node.uverbs(h) in nodes(answer)]
    assert nodes(answer) == ['rdma_cm', b.node.uverbs(hca)], nodes(answer)
    assert answer.envs['RDMAD_DEVICES'] == hca, answer.envs
    # Two shares of one HCA are one node, and rdma_cm is there once.
    same = kubelet.call_allocate(HCA, ['0000:3b:00.0-0', '0000:3b:00.0-3'])
    assert nodes(same) == ['rdma_cm', b.node.uverbs('mlx5_0')], nodes(same)
    both = kubelet.call_allocate(HCA, ['0000:3b:00.0-0', '0000:af:00.0-0'])
    assert nodes(both) == ['rdma_cm', 'uverbs0', 'uverbs1'], nodes(both)
    assert both.envs['RDMAD_DEVICES'] == 'mlx5_0,mlx5_1', both.envs
    del ids


@case(9)
def exclusive_is_one_device_for_each_hca(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start({'name': HCA, 'exclusive': True, 'selectors': [{'rdmaDevices': ['*']}]},
            {'name': 'rdmad.dev/plain', 'selectors': [{'rdmaDevices': ['*']}]})
    kubelet.wait_count(HCA, 2)
    kubelet.wait_count('rdmad.dev/plain', 2)
    first, second = kubelet.allocate(HCA, 1, pod='a')[0], kubelet.allocate(HCA, 1, pod='b')[0]
    assert hcas_of(first) != hcas_of(second), (first, second)
    try:
        kubelet.allocate(HCA, 1, pod='c')
    except AdmissionError:
        pass
    else:
        raise AssertionError('a third one got an HCA, too')


@case(10, controls=['random-preference'])
def preference_packs(b):
    for number, (pci, root, numa) in enumerate([
            ('0000:3b:00.0', '0000:3a:00.0', 0), ('0000:3c:00.0', '0000:3a:00.0', 0),
            ('0000:af:00.0', '0000:ae:00.0', 1)]):
        b.node.add_mellanox(f'mlx5_{number}', pci, f'ens{number}', numa=numa, root_port=root)
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 12)
    free = kubelet.healthy(HCA)
    four = kubelet.preferred(HCA, free, [], 4)
    assert len(four) == 4 and len(hcas_of(four)) == 1, f'four fit on one HCA: {four}'
    six = kubelet.preferred(HCA, free, [], 6)
    assert len(set(six)) == 6 and hcas_of(six) == {'0000:3b:00.0', '0000:3c:00.0'}, f'six fit on one NUMA node: {six}'
    assert sorted(kubelet.preferred(HCA, free, free[:2], 2)) == free[:2]
    if not b.control:           # the small plugin only sorts
        # With most of the first one taken, another one holds four.
        part = [i for i in free if i not in ('0000:3b:00.0-0', '0000:3b:00.0-1', '0000:3b:00.0-2')]
        assert len(hcas_of(kubelet.preferred(HCA, part, [], 4))) == 1
        near = kubelet.preferred(HCA, free, ['0000:af:00.0-2'], 4)
        assert '0000:af:00.0-2' in near and hcas_of(near) == {'0000:af:00.0'}, f'beside what must be included: {near}'


@case(10)
def preference_knows_roots_and_spreads(b):
    # The same NUMA node, two roots: what a container gets should be below one of them.
    for number, (pci, root) in enumerate([('0000:3b:00.0', '0000:3a:00.0'), ('0000:3c:00.0', '0001:00:01.0'),
                                          ('0000:3d:00.0', '0000:3a:00.0'), ('0000:3e:00.0', '0001:00:01.0')]):
        b.node.add_mellanox(f'mlx5_{number}', pci, f'ens{number}', numa=0, root_port=root)
    kubelet = b.kubelet().start()
    b.start(b.resource(shares=1), b.resource('rdmad.dev/spread', 4, preferred='spread'))
    kubelet.wait_count(HCA, 4)
    kubelet.wait_count('rdmad.dev/spread', 16)
    for must in ([], ['0000:3c:00.0-0'], ['0000:3e:00.0-0']):
        pair = hcas_of(kubelet.preferred(HCA, kubelet.healthy(HCA), must, 2))
        assert pair in ({'0000:3b:00.0', '0000:3d:00.0'}, {'0000:3c:00.0', '0000:3e:00.0'}), (must, pair)
    spread = kubelet.preferred('rdmad.dev/spread', kubelet.healthy('rdmad.dev/spread'), [], 3)
    assert len(hcas_of(spread)) == 3, f'three HCAs for three: {spread}'


@case(10)
def advice_holds_with_odd_questions(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    free = kubelet.healthy(HCA)
    assert kubelet.preferred(HCA, free, [], 0) == []
    assert sorted(kubelet.preferred(HCA, free, [], 8)) == free
    assert set(kubelet.preferred(HCA, ['no-such-device', *free[:1]], [], 2)) <= {'no-such-device', *free[:1]}
    assert b.plugin.alive()
    kubelet.allocate(HCA, 8)


@case(12, controls=['allocate-anything'])
def what_is_not_there_is_refused(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    code, text = refusal(lambda: kubelet.call_allocate(HCA, ['0000:ff:00.0-0']))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and '0000:ff:00.0-0' in text, (code, text)
    code, text = refusal(lambda: kubelet.call_allocate(HCA, ['0000:3b:00.0-4']))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and '0000:3b:00.0-4' in text, (code, text)
    b.node.set_state('mlx5_0', 'DOWN')
    kubelet.wait_count(HCA, 8, 4, seconds=5)
    code, text = refusal(lambda: kubelet.call_allocate(HCA, ['0000:3b:00.0-0']))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and '0000:3b:00.0-0' in text, (code, text)
    # One bad one among good ones spoils them all.
    code, text = refusal(lambda: kubelet.call_allocate(HCA, ['0000:af:00.0-0', '0000:3b:00.0-0']))
    assert code == grpc.StatusCode.FAILED_PRECONDITION, (code, text)


@case(12)
def the_answer_says_what_it_is(b):
    b.node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1', numa=1)
    b.node.add_mellanox('mlx5_3', '0000:5e:00.0', link_layer=INFINIBAND)
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    answer = kubelet.call_allocate(HCA, ['0000:3b:00.0-0', '0000:5e:00.0-1'])
    for device in answer.devices:
        name = os.path.basename(device.host_path)
        assert device.permissions == 'rw', device
        assert device.container_path == f'/dev/infiniband/{name}', device
    assert len({d.container_path for d in answer.devices}) == len(answer.devices) == 3, answer
    assert answer.envs['RDMAD_DEVICES'] == 'mlx5_0,mlx5_3', answer.envs
    assert answer.envs['PCIDEVICE_RDMAD_DEV_HCA'] == '0000:3b:00.0,0000:5e:00.0', answer.envs
    first, second = json.loads(answer.envs['RDMAD_DEVICE_INFO'])
    assert first['name'] == 'mlx5_0' and first['netdevs'] == ['ens1'] and first['numaNode'] == 1, first
    assert first['pciAddress'] == '0000:3b:00.0' and os.path.basename(first['uverbs']) == 'uverbs0', first
    assert len(first['gids']) >= 1, first
    assert second['name'] == 'mlx5_3' and not second['netdevs'], second
    assert not answer.cdi_devices, 'both ways at once'


@case(12)
def a_seat_is_a_directory(b):
    kubelet = b.kubelet().start()
    for number in range(3):
        b.make_seat(number)
    b.start({'name': SEAT, 'seats': 3})
    kubelet.wait_count(SEAT, 3)
    assert kubelet.ids(SEAT) == ['seat-0', 'seat-1', 'seat-2'], kubelet.ids(SEAT)
    answer = kubelet.call_allocate(SEAT, ['seat-1'])
    [mount] = answer.mounts
    assert (mount.container_path, mount.host_path) == ('/run/rdmad', os.path.join(b.seats, 'seat-1')), mount
    assert mount.read_only, 'connecting needs no writing, and a root pod could remove the socket'
    assert not answer.devices and not answer.cdi_devices, 'a seat needs no device'
    assert answer.envs['RDMAD_BROKER'] == 'shm:///run/rdmad/rdmad.sock', answer.envs
    assert answer.envs['RDMAD_SEAT'] == 'seat-1', answer.envs
    code, _ = refusal(lambda: kubelet.call_allocate(SEAT, ['seat-3']))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    code, text = refusal(lambda: kubelet.call_allocate(SEAT, ['seat-0', 'seat-2']))
    assert 'seat' in text, f'two seats for one container have one place: {text}'


@case(7)
def a_seat_is_well_while_its_daemon_lives(b):
    """A daemon that is killed leaves its sockets: a seat is a directory that somebody listens in."""
    for number in range(3):
        b.make_seat(number)
    kubelet = b.kubelet().start()
    b.start({'name': SEAT, 'seats': 4})
    kubelet.wait_count(SEAT, 4, 3)
    for listener in b.listeners.values():
        listener.setblocking(False)
        try:
            listener.accept()
            raise AssertionError('looking is no connection')
        except BlockingIOError:
            pass
        listener.close()
    kubelet.wait_count(SEAT, 4, 0, seconds=5)
    code, text = refusal(lambda: kubelet.call_allocate(SEAT, ['seat-1']))
    assert code == grpc.StatusCode.FAILED_PRECONDITION and 'rdmad is away' in text, (code, text)
    for number in range(2):
        os.unlink(os.path.join(b.seats, f'seat-{number}/rdmad.sock'))
        b.make_seat(number)
    kubelet.wait_count(SEAT, 4, 2, seconds=5)
    os.unlink(os.path.join(b.seats, 'seat-0/rdmad.sock'))
    kubelet.wait_count(SEAT, 4, 1, seconds=5)
    assert kubelet.healthy(SEAT) == ['seat-1'], kubelet.healthy(SEAT)


def cdi_specs(b):
    """What a runtime reads: every .json file in the directory, whole."""
    specs = {}
    for name in os.listdir(b.cdi):
        if name.endswith('.json'):
            with open(os.path.join(b.cdi, name)) as file:
                specs[name] = json.load(file)
    return specs


def cdi_names(b):
    return {f'{spec["kind"]}={d["name"]}' for spec in cdi_specs(b).values() for d in spec['devices']}


@case(13, controls=['late-cdi'])
def cdi_spec_is_there_before_the_list(b):
    """A pod may be admitted right after the first list: the runtime must then find its device."""
    b.two_hcas()
    kubelet, missing = b.kubelet(), []

    def look(_resource, devices):
        expected = {'0000:3b:00.0': 'mlx5_0', '0000:af:00.0': 'mlx5_1', 'rxe0': 'rxe0'}
        want = {f'{HCA}={expected[h]}' for h in hcas_of(devices)}
        if not want <= cdi_names(b):
            missing.append((want, cdi_names(b)))
    kubelet.on_message = look
    kubelet.start()
    b.start(cdi='on')
    kubelet.wait_count(HCA, 8)
    b.node.add_virtual('rxe0', 'eth0')
    kubelet.wait_count(HCA, 12, seconds=5)
    assert not missing, f'not in the spec when the list came: {missing}'
    answer = kubelet.call_allocate(HCA, ['0000:3b:00.0-0', 'rxe0-1'])
    assert sorted(d.name for d in answer.cdi_devices) == [f'{HCA}=mlx5_0', f'{HCA}=rxe0'], answer
    assert not answer.devices, 'device specs beside CDI'


@case(13, controls=['torn-cdi'])
def cdi_spec_is_always_whole(b):
    b.two_hcas()
    with open(os.path.join(b.cdi, 'somebody-else.json'), 'w') as file:
        file.write('{"cdiVersion": "0.5.0", "kind": "vendor.example/thing", "devices": []}')
    kubelet = b.kubelet().start()
    broken, stop = [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                cdi_specs(b)
            except ValueError as error:
                broken.append(error)
            except FileNotFoundError:
                pass
    reader = threading.Thread(target=read)
    reader.start()
    b.start(cdi='on')
    kubelet.wait_count(HCA, 8)
    for _ in range(5):
        b.node.add_virtual('rxe0', 'eth0')
        kubelet.wait_count(HCA, 12, seconds=5)
        b.node.remove('rxe0')
        kubelet.wait_count(HCA, 8, seconds=5)
    stop.set()
    reader.join()
    assert not broken, f'{len(broken)} times half a file: {broken[0]}'
    assert 'somebody-else.json' in os.listdir(b.cdi)
    left = [n for n in os.listdir(b.cdi) if not n.endswith('.json')]
    assert not left, f'left in the directory: {left}'
    assert f'{HCA}=rxe0' not in cdi_names(b), 'a device that is gone is in the spec'


@case(13)
def cdi_spec_says_what_a_runtime_needs(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(cdi='on')
    kubelet.wait_count(HCA, 8)
    [spec] = [s for s in cdi_specs(b).values() if s['kind'] == HCA]
    assert spec['cdiVersion'] in ('0.5.0', '0.3.0', '0.4.0'), 'containerd 1.7 and podman 4.3 read no later one'
    [device] = [d for d in spec['devices'] if d['name'] == 'mlx5_0']
    edits = device['containerEdits']
    assert sorted(n['path'] for n in edits['deviceNodes']) == ['/dev/infiniband/rdma_cm', '/dev/infiniband/uverbs0']
    # The environment is the container's, not a device's: with two devices the second one would overwrite it.
    assert not any(e.startswith('RDMAD_DEVICES=') for e in edits.get('env', [])), edits
    answer = kubelet.call_allocate(HCA, ['0000:3b:00.0-0', '0000:af:00.0-0'])
    assert answer.envs['RDMAD_DEVICES'] == 'mlx5_0,mlx5_1', answer.envs


@case(13)
def a_cdi_spec_that_is_not_there(b):
    """One that others removed is made anew; of a device whose spec cannot be written the kubelet hears nothing."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(cdi='on')
    kubelet.wait_count(HCA, 8)
    [name] = os.listdir(b.cdi)
    path = os.path.join(b.cdi, name)
    os.unlink(path)
    until(lambda: os.path.exists(path), 5, 'the spec is made anew')
    os.unlink(path)
    os.makedirs(os.path.join(path, 'in-the-way'))
    b.node.add_virtual('rxe0', 'eth0')
    until(lambda: 'no CDI spec in' in b.plugin.text(), 5, 'it says so')
    time.sleep(0.7)
    assert kubelet.count(HCA) == (8, 8), 'a device was told that no runtime knows'
    assert b.plugin.text().count('no CDI spec in') == 1
    os.rename(path, path + '.aside')
    kubelet.wait_count(HCA, 12, seconds=5)
    with open(path) as file:
        assert 'rxe0' in {d['name'] for d in json.load(file)['devices']}
    # A pod may hold what is no longer offered, and its container may start again.
    b.write_config(b.resource('rdmad.dev/other', selectors=[{'rdmaDevices': ['mlx5_*']}]))
    kubelet.wait_count('rdmad.dev/other', 8, seconds=10)
    assert os.path.exists(path)


@case(13)
def without_a_cdi_directory_device_specs(b):
    b.two_hcas()
    os.rmdir(b.cdi)
    kubelet = b.kubelet().start()
    b.start(cdi='auto')
    kubelet.wait_count(HCA, 8)
    answer = kubelet.call_allocate(HCA, ['0000:3b:00.0-0'])
    assert nodes(answer) == ['rdma_cm', 'uverbs0'] and not answer.cdi_devices, answer


@case(12)
def calls_beside_each_other(b):
    """Forty admissions at once, and a device that comes and goes: every answer is whole."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(b.resource(shares=64))
    kubelet.wait_count(HCA, 128)
    wrong, began = [], time.monotonic()

    def admit(number):
        try:
            for k in range(20):
                answer = kubelet.call_allocate(HCA, [f'0000:3b:00.0-{(number + k) % 64}'])
                if uverbs(answer) != ['uverbs0']:
                    wrong.append(answer)
        except grpc.RpcError as error:
            wrong.append(error)
    threads = [threading.Thread(target=admit, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[:2]
    print(f'figure: 800 admissions by 40 callers at once in {time.monotonic() - began:.2f} s')
