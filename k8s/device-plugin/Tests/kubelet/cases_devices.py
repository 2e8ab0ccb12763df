"""Rows 6 to 8, 11 and 15: which devices there are, what they are called, and whether they are well."""
import json
import os
import threading
import time

from bench import HCA, case, uverbs
from fake_node import INFINIBAND


def begin(b, *resources, **options):
    kubelet = b.kubelet(**options).start()
    b.start(*resources)
    return kubelet


def hca_of(kubelet, b, name):
    """Which HCA an id is, by the node that it gives: its number is of this boot only."""
    [verbs] = uverbs(kubelet.call_allocate(HCA, [name]))
    [hca] = [h for h in b.node.hcas if b.node.uverbs(h) == verbs]
    return hca


def pci_of(b, hca):
    return os.path.basename(os.path.realpath(os.path.join(b.node.sys, 'class/infiniband', hca, 'device')))


@case(6, controls=['counter-ids', 'ids-of-a-run'])
def ids_survive_a_reboot_in_another_order(b):
    """The pods' devices are in the kubelet's checkpoint: the same id must be the same HCA, whatever its name is now."""
    slots = {'0000:3b:00.0': 'ens1', '0000:5e:00.0': 'ens2', '0000:af:00.0': 'ens3'}
    for number, (pci, netdev) in enumerate(slots.items()):
        b.node.add_mellanox(f'mlx5_{number}', pci, netdev)
    kubelet = begin(b)
    kubelet.wait_count(HCA, 12)
    before = {i: pci_of(b, hca_of(kubelet, b, i)) for i in kubelet.ids(HCA)}
    pod = kubelet.allocate(HCA, 2, pod='a-pod')[0]
    b.plugin.end()
    kubelet.stop()
    for number in range(3):
        b.node.remove(f'mlx5_{number}')
    for number, (pci, netdev) in enumerate(reversed(slots.items())):
        b.node.add_mellanox(f'mlx5_{number}', pci, netdev)
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 12)
    assert kubelet.ids(HCA) == sorted(before), f'{kubelet.ids(HCA)} instead of {sorted(before)}'
    assert set(kubelet.pods['a-pod']['ids']) == set(pod) <= set(kubelet.healthy(HCA))
    for name, pci in before.items():
        now = pci_of(b, hca_of(kubelet, b, name))
        assert now == pci, f'{name} was {pci} and is {now}'


@case(6)
def ids_are_the_address_and_a_number(b):
    b.two_hcas()
    b.node.add_virtual('rxe0', 'eth0')
    kubelet = begin(b, b.resource(shares=2))
    kubelet.wait_count(HCA, 6)
    assert kubelet.ids(HCA) == ['0000:3b:00.0-0', '0000:3b:00.0-1', '0000:af:00.0-0', '0000:af:00.0-1',
                                'rxe0-0', 'rxe0-1'], kubelet.ids(HCA)
    assert max(map(len, kubelet.ids(HCA))) <= 63
    # More shares leave those that are there as they are.
    b.write_config(b.resource(shares=3))
    kubelet.wait_count(HCA, 9, seconds=15)
    assert '0000:3b:00.0-1' in kubelet.ids(HCA)


@case(7, controls=['no-health', 'one-way-health'])
def a_port_down_and_up_again(b):
    b.two_hcas()
    kubelet = begin(b)
    kubelet.wait_count(HCA, 8)
    for _ in range(3):
        b.node.set_state('mlx5_1', 'DOWN')
        kubelet.wait_count(HCA, 8, 4, seconds=5)
        assert all(i.startswith('0000:3b:00.0-') for i in kubelet.healthy(HCA)), kubelet.healthy(HCA)
        b.node.set_state('mlx5_1', 'ACTIVE')
        kubelet.wait_count(HCA, 8, seconds=5)
    assert len(kubelet.seen('register')) == 1, 'a change of health is no reason to register again'


@case(7)
def health_of_two_ports_by_policy(b):
    b.node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1', ports=2)
    any_port = b.resource('rdmad.dev/any', health='any-port')
    all_ports = b.resource('rdmad.dev/all', health='all-ports')
    kubelet = begin(b, any_port, all_ports)
    kubelet.wait_count('rdmad.dev/any', 4)
    kubelet.wait_count('rdmad.dev/all', 4)
    b.node.set_state('mlx5_0', 'DOWN', port=2)
    kubelet.wait_count('rdmad.dev/all', 4, 0, seconds=5)
    assert kubelet.count('rdmad.dev/any') == (4, 4)
    b.node.set_state('mlx5_0', 'DOWN', port=1)
    kubelet.wait_count('rdmad.dev/any', 4, 0, seconds=5)
    b.node.set_state('mlx5_0', 'ACTIVE', port=2)
    kubelet.wait_count('rdmad.dev/any', 4, seconds=5)
    assert kubelet.count('rdmad.dev/all') == (4, 0)


@case(7)
def a_node_vanishes(b):
    b.two_hcas()
    kubelet = begin(b)
    kubelet.wait_count(HCA, 8)
    node = b.node.uverbs('mlx5_0')
    b.node.remove_node(node)
    kubelet.wait(lambda: kubelet.count(HCA)[1] == 4, 5, 'without its node an HCA is of no use')
    b.node.make_node(node)
    kubelet.wait_count(HCA, 8, seconds=5)


@case(7, controls=['no-coalescing'])
def a_burst_makes_few_messages(b):
    """The kubelet writes its checkpoint for every message: at most five a second, whatever happens."""
    b.two_hcas()
    kubelet = begin(b)
    kubelet.wait_count(HCA, 8)
    since, began = len(kubelet.events), time.monotonic()
    while time.monotonic() - began < 3:
        for state in ('DOWN', 'ACTIVE'):
            b.node.set_state('mlx5_1', state)
            time.sleep(0.011)
    b.node.set_state('mlx5_1', 'DOWN')
    kubelet.wait_count(HCA, 8, 4, seconds=5)
    time.sleep(1)
    times = [e[0] for e in kubelet.seen('message', HCA, since)]
    for first, last in zip(times, times[5:]):
        assert last - first > 0.9, f'six messages within {last - first:.2f} s'
    assert kubelet.count(HCA) == (8, 4), 'the last word is not how it is'
    print(f'figure: {len(times)} messages for some 270 changes in 3 s')


@case(8, controls=['one-shot'])
def hcas_come_and_go(b):
    b.two_hcas()
    kubelet = begin(b)
    kubelet.wait_count(HCA, 8)
    for _ in range(3):
        b.node.add_mellanox('mlx5_2', '0000:d8:00.0', 'ens3')
        kubelet.wait_count(HCA, 12, seconds=5)
        b.node.add_virtual('rxe0', 'eth0')
        kubelet.wait_count(HCA, 16, seconds=5)
        assert uverbs(kubelet.call_allocate(HCA, ['rxe0-0'])) == [b.node.uverbs('rxe0')]
        b.node.remove('mlx5_2')
        b.node.remove('rxe0')
        kubelet.wait_count(HCA, 8, seconds=5)
    assert len(kubelet.seen('register')) == 1, 'a change of devices is no reason to register again'


@case(8, controls=['one-shot'])
def the_first_and_the_last_hca(b):
    kubelet = begin(b)
    kubelet.wait(lambda: kubelet.seen('message', HCA), 10, 'an empty list is a list')
    assert kubelet.count(HCA) == (0, 0)
    b.node.add_virtual('rxe0', 'eth0')
    kubelet.wait_count(HCA, 4, seconds=5)
    b.node.remove('rxe0')
    kubelet.wait_count(HCA, 0, seconds=5)
    assert kubelet.seen('message', HCA)[-1][3]['ids'] == 0
    assert b.plugin.alive()


@case(11, controls=['negative-numa', 'no-topology'])
def topology_only_where_it_is_known(b):
    b.node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1', numa=0)
    b.node.add_mellanox('mlx5_1', '0000:af:00.0', 'ens2', numa=1)
    b.node.add_mellanox('mlx5_2', '0000:d8:00.0', 'ens3', numa=-1)
    b.node.add_virtual('rxe0', 'eth0')
    kubelet = begin(b, b.resource(shares=1))
    kubelet.wait_count(HCA, 4)
    with kubelet.changed:
        topology = {i: [n.id for n in d.topology.nodes] for i, d in kubelet.devices[HCA].items()}
        absent = [i for i, d in kubelet.devices[HCA].items() if not d.HasField('topology')]
    assert topology['0000:3b:00.0-0'] == [0] and topology['0000:af:00.0-0'] == [1], topology
    assert sorted(absent) == ['0000:d8:00.0-0', 'rxe0-0'], f'no topology for {absent}'
    # As the topology manager asks for it.
    assert kubelet.allocate(HCA, 1, numa=1)[0] == ['0000:af:00.0-0']


@case(15)
def every_kind_of_device_is_found(b):
    b.node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1')
    b.node.add_mellanox('mlx5_1', '0000:3b:00.2', 'ens1v0', vf_of='0000:3b:00.0')
    b.node.add_mellanox('mlx5_2', '0000:3b:00.3', 'ens1v1', vf_of='0000:3b:00.0', mad=False)
    b.node.add_mellanox('mlx5_3', '0000:5e:00.0', link_layer=INFINIBAND)
    b.node.add_irdma('irdma0', '0000:86:00.0', 'ens4')
    b.node.add_virtual('rxe0', 'eth0', 'rxe')
    b.node.add_virtual('siw0', 'eth1', 'siw')
    kubelet = begin(b, b.resource(shares=1), b.resource('rdmad.dev/mad', shares=1, userspaceMAD=True))
    kubelet.wait_count(HCA, 7)
    kubelet.wait_count('rdmad.dev/mad', 7)
    for name in kubelet.ids(HCA):
        answer = kubelet.call_allocate(HCA, [name])
        given = sorted(os.path.basename(d.host_path) for d in answer.devices)
        assert given[0] == 'rdma_cm' and len(given) == 2 and given[1].startswith('uverbs'), given
        # umad and issm where they are; where they are not, that is no error.
        mad = sorted(os.path.basename(d.host_path)
                     for d in kubelet.call_allocate('rdmad.dev/mad', [name]).devices)
        hca = hca_of(kubelet, b, name)
        assert mad == sorted(['rdma_cm', *b.node.hcas[hca]['nodes']]), f'{hca}: {mad}'


@case(15)
def the_devices_command_names_them_all(b):
    b.two_hcas()
    b.node.add_mellanox('mlx5_3', '0000:5e:00.0', link_layer=INFINIBAND)
    b.node.add_virtual('siw0', 'eth1', 'siw')
    b.write_config(b.resource(selectors=[{'rdmaDevices': ['mlx5_*']}]))
    status, out, err = b.ask('devices', '--config', b.config_file, '--sysfs-root', b.node.sys, '--dev-root', b.node.dev)
    assert status == 0, err
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for name, taken in (('mlx5_0', True), ('mlx5_1', True), ('mlx5_3', True), ('siw0', False)):
        assert name in lines, out
        assert (HCA in lines[name]) == taken, f'{name}: {lines[name]}'
    status, out, err = b.ask('devices', '--json', '--config', b.config_file, '--sysfs-root', b.node.sys,
                             '--dev-root', b.node.dev)
    assert status == 0, err
    assert sorted(d['name'] for d in json.loads(out)) == ['mlx5_0', 'mlx5_1', 'mlx5_3', 'siw0'], out


@case(15)
def selectors_choose(b):
    b.two_hcas()
    b.node.add_mellanox('mlx5_9', '0000:5e:00.0', link_layer=INFINIBAND, state='INIT')
    b.node.add_irdma('irdma0', '0000:86:00.0', 'ens4')
    b.node.add_virtual('rxe0', 'eth0')
    chosen = {
        'a': ([{'vendors': ['15b3']}], 3), 'b': ([{'vendors': ['8086'], 'deviceIDs': ['1592']}], 1),
        'c': ([{'drivers': ['mlx5_core', 'ice']}], 4), 'd': ([{'ifNames': ['ens[12]']}], 2),
        'e': ([{'pciAddresses': ['0000:af:*']}], 1), 'f': ([{'linkLayers': ['infiniband']}], 1),
        'g': ([{'portStates': ['active']}], 4), 'h': ([{'rdmaDevices': ['~^mlx5_[0-8]$']}], 2),
        'i': ([{'rdmaDevices': ['rxe*']}, {'vendors': ['8086']}], 2),
        'j': ([{'vendors': ['15b3'], 'ifNames': ['ens1']}], 1),
        'k': ([{'linkTypes': ['ether'], 'vendors': ['15b3']}], 2),
    }
    kubelet = begin(b, *[b.resource(f'rdmad.dev/{n}', 1, s) for n, (s, _) in chosen.items()])
    for name, (selectors, count) in chosen.items():
        kubelet.wait(lambda n=name: kubelet.seen('message', f'rdmad.dev/{n}'), 10, f'{name} is registered')
        got = kubelet.count(f'rdmad.dev/{name}')[0]
        assert got == count, f'{selectors}: {got} of {count}: {kubelet.ids(f"rdmad.dev/{name}")}'


@case(15)
def devices_change_under_its_hands(b):
    """Files vanish between two reads: nothing worse comes of it than a list that is late."""
    b.two_hcas()
    kubelet = begin(b, b.resource(shares=1))
    kubelet.wait_count(HCA, 2)
    stop = threading.Event()

    def churn(name, pci):
        while not stop.is_set():
            b.node.add_mellanox(name, pci, 'n' + name)
            time.sleep(0.003)
            b.node.remove(name)
    churns = [threading.Thread(target=churn, args=('mlx5_7', '0000:d8:00.0'))]
    for thread in churns:
        thread.start()
    time.sleep(4)
    stop.set()
    for thread in churns:
        thread.join()
    kubelet.wait_count(HCA, 2, seconds=5)
    time.sleep(0.5)
    assert kubelet.count(HCA) == (2, 2) and b.plugin.alive()
    assert len(kubelet.seen('register')) == 1
    # What is read in halves has no other name.
    ids = {'0000:3b:00.0-0', '0000:af:00.0-0', '0000:d8:00.0-0'}
    assert kubelet.ever_listed[HCA] <= ids, kubelet.ever_listed[HCA]
