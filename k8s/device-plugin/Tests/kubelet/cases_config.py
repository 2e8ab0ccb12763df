"""Row 14, and the configuration: what is read, what is refused, and what happens when it changes."""
import json
import os
import signal
import time

from bench import HCA, Process, case, nodes, until

GOOD = {'version': 'v1', 'resources': [{'name': HCA, 'shares': 4, 'selectors': [{'rdmaDevices': ['*']}]}]}


def changed(**fields):
    resource = {**GOOD['resources'][0], **fields}
    return json.dumps({'version': 'v1', 'resources': [{k: v for k, v in resource.items() if v is not None}]})


# What is wrong: (text, the field that must be named, a part of the reason).
BAD = {
    'unknown field': (changed(share=4), 'resources[0].share', 'shares'),
    'unknown field at the top': (json.dumps({**GOOD, 'resource': []}), 'resource', 'resources'),
    'unknown selector': (changed(selectors=[{'vendor': ['15b3']}]), 'resources[0].selectors[0].vendor', 'vendors'),
    'duplicate resource': (json.dumps({'version': 'v1', 'resources': GOOD['resources'] * 2}), 'resources[1].name', HCA),
    'bad regular expression': (changed(selectors=[{'rdmaDevices': ['mlx5_0', '~mlx5_[']}]),
                               'resources[0].selectors[0].rdmaDevices[1]', 'mlx5_['),
    'no shares': (changed(shares=0), 'resources[0].shares', '0'),
    'shares below nothing': (changed(shares=-1), 'resources[0].shares', '-1'),
    'too many shares': (changed(shares=10**9), 'resources[0].shares', '1000000000'),
    'shares as text': (changed(shares='many'), 'resources[0].shares', 'many'),
    'exclusive and shared': (changed(exclusive=True), 'resources[0]', 'exclusive'),
    'seats and selectors': (changed(seats=4), 'resources[0]', 'seats'),
    'no seats': (json.dumps({'version': 'v1', 'resources': [{'name': HCA, 'seats': 0}]}), 'resources[0].seats', '0'),
    'nothing to give': (json.dumps({'version': 'v1', 'resources': [{'name': HCA}]}), 'resources[0]', 'selectors'),
    'no selectors': (changed(selectors=[]), 'resources[0].selectors', 'empty'),
    'empty list of values': (changed(selectors=[{'vendors': []}]), 'resources[0].selectors[0].vendors', 'empty'),
    'not a vendor': (changed(selectors=[{'vendors': ['mellanox']}]),
                     'resources[0].selectors[0].vendors[0]', 'mellanox'),
    'not a link layer': (changed(selectors=[{'linkLayers': ['token-ring']}]),
                         'resources[0].selectors[0].linkLayers[0]', 'token-ring'),
    'not a port state': (changed(selectors=[{'portStates': ['up']}]),
                         'resources[0].selectors[0].portStates[0]', 'active'),
    'not a policy': (changed(health='some'), 'resources[0].health', 'any-port'),
    'not a preference': (changed(preferred='near'), 'resources[0].preferred', 'pack'),
    'no domain': (changed(name='hca'), 'resources[0].name', 'vendor.domain/name'),
    'a domain of Kubernetes': (changed(name='kubernetes.io/hca'), 'resources[0].name', 'Kubernetes'),
    'bad letters in the name': (changed(name='rdmad.dev/h ca'), 'resources[0].name', 'h ca'),
    'no name': (changed(name=None), 'resources[0].name', 'missing'),
    'another version': (json.dumps({**GOOD, 'version': 'v9'}), 'version', 'v9'),
    'no resources': (json.dumps({'version': 'v1', 'resources': []}), 'resources', 'empty'),
    'resources as a word': (json.dumps({'version': 'v1', 'resources': 'all'}), 'resources', 'list'),
    'half a file': (json.dumps(GOOD)[:40], '', 'YAML'),
    'an empty file': ('', '', 'mapping'),
    'twice the same field': ('{"version": "v1", "version": "v1", "resources": []}', '', 'version'),
}


def mellanox(**fields):
    entry = {'resourceName': 'hca_shared_devices_a', 'rdmaHcaMax': 1000, 'selectors': {'vendors': ['15b3']}}
    return json.dumps({'periodicUpdateInterval': 300, 'configList': [{**entry, **fields}]})


BAD_MELLANOX = {
    'a name with a hyphen': (mellanox(resourceName='hca-a'), 'configList[0].resourceName', 'hca-a'),
    'the same name twice': (json.dumps({'configList': [
        {'resourceName': 'a', 'resourcePrefix': prefix, 'rdmaHcaMax': 1, 'devices': ['ib0']}
        for prefix in ('x.y', 'z.y')]}),
        'configList[1].resourceName', 'a'),
    'fewer than none': (mellanox(rdmaHcaMax=-1), 'configList[0].rdmaHcaMax', '-1'),
    'devices and selectors': (mellanox(devices=['ib0']), 'configList[0]', 'devices'),
    'neither': (json.dumps({'configList': [{'resourceName': 'a', 'rdmaHcaMax': 1}]}), 'configList[0]', 'selectors'),
    'no list': ('{"periodicUpdateInterval": 300}', 'configList', ''),
}


def refusals(b, bad):
    wrong = []
    for name, (text, field, reason) in bad.items():
        b.write_config(text=text)
        status, out, err = b.ask('check', b.config_file)
        said = out + err
        lines = [line for line in said.splitlines() if b.config_file in line and field in line and reason in line]
        if status != 1 or not lines:
            wrong.append(f'{name}: status {status}, {field!r} and {reason!r} are in no line of: {said.strip()}')
    assert not wrong, '\n'.join(wrong)


@case(0)
def bad_configs_are_refused_with_file_field_and_reason(b):
    b.write_config(text=json.dumps(GOOD))
    status, out, err = b.ask('check', b.config_file)
    assert status == 0, out + err
    refusals(b, BAD)


@case(0)
def the_plugin_does_not_start_with_a_bad_config(b):
    kubelet = b.kubelet().start()
    b.write_config(text=changed(share=4))
    b.start(config=b.config_file)
    until(lambda: not b.plugin.alive(), 10, 'gives up')
    assert b.plugin.process.returncode == 1, b.plugin.process.returncode
    assert 'resources[0].share' in b.plugin.text() and b.config_file in b.plugin.text(), b.plugin.text()
    assert not kubelet.seen('register'), 'registered all the same'


@case(0)
def no_such_file_and_no_such_option(b):
    status, out, err = b.ask('check', '/nonexistent/config.yaml')
    assert status == 1 and '/nonexistent/config.yaml' in out + err, (status, out + err)
    status, out, err = b.ask('run', '--no-such-option')
    assert status == 2, (status, out + err)


@case(14)
def mellanox_config_is_read_as_it_is(b):
    """In the format of its documentation: pools by selectors and by names of interfaces, one HCA in two pools."""
    b.two_hcas()
    b.node.add_irdma('irdma0', '0000:86:00.0', 'ens4')
    b.write_config(text='''{
  "periodicUpdateInterval": 300,
  "configList": [
    {"resourceName": "hca_shared_devices_a", "rdmaHcaMax": 10, "devices": ["ens1", "ens4"]},
    {"resourceName": "hca_shared_devices_b", "rdmaHcaMax": 5,
     "selectors": {"vendors": ["15b3"], "deviceIDs": ["101d"], "drivers": ["mlx5_core"], "ifNames": ["ens2"],
                   "linkTypes": ["ether"]}},
    {"resourceName": "cx6dx", "resourcePrefix": "example.com", "rdmaHcaMax": 7, "selectors": {"vendors": ["15b3"]}},
    {"resourceName": "none", "rdmaHcaMax": 3, "selectors": {"ifNames": ["ens9"]}}
  ]
}
''')
    kubelet = b.kubelet().start()
    b.start(config=b.config_file)
    wanted = {'rdma/hca_shared_devices_a': 2, 'rdma/hca_shared_devices_b': 1, 'example.com/cx6dx': 2, 'rdma/none': 0}
    kubelet.wait(lambda: all(kubelet.seen('message', name) for name in wanted), 10, f'{sorted(wanted)} are registered')
    assert {e[2] for e in kubelet.seen('register')} == set(wanted), kubelet.seen('register')
    shares = {'rdma/hca_shared_devices_a': 10, 'rdma/hca_shared_devices_b': 5, 'example.com/cx6dx': 7, 'rdma/none': 3}
    for name, hcas in wanted.items():
        # Theirs is a number for the whole pool, whatever is in it; `shares` is one for each HCA.
        assert kubelet.count(name) in ((hcas * shares[name],) * 2, (shares[name] if hcas else 0,) * 2), (
            name, kubelet.count(name))
    status, out, err = b.ask('check', b.config_file)
    assert status == 0, out + err
    assert 'rdmaHcaMax' in out + err + b.plugin.text(), 'says nothing of what it does differently'


# The machine's programs, and what the container of their manifest has: $1 becomes the root, with the kubelet's directory,
# sysfs, devices, CDI specs, and the config's directory, which is mounted at $7.
THEIR_CONTAINER = '''
set -e
root=$1 kubelet=$2 sys=$3 dev=$4 cdi=$5 config=$6 at=$7; shift 7
ip link set lo up
mount --make-rprivate /
mount -t tmpfs tmpfs "$root"
for entry in /*; do
  case $entry in /dev | /run | /sys | /var) continue ;; esac
  if [ -L "$entry" ]; then cp -P "$entry" "$root"; elif [ -d "$entry" ]; then
    mkdir "$root$entry"
    mount --rbind "$entry" "$root$entry"
  fi
done
for pair in "$kubelet:/var/lib/kubelet" "$sys:/sys" "$dev:/dev" "$cdi:/var/run/cdi" "$config:$at"; do
  mkdir -p "$root${pair#*:}"
  mount --bind "${pair%%:*}" "$root${pair#*:}"
done
exec chroot "$root" "$@"
'''


@case(14)
def their_container_with_our_image(b):
    """No option, or theirs with one dash and two; everything else where their manifest has it."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    root, config = os.path.join(b.directory, 'root'), os.path.join(b.directory, 'config')
    os.mkdir(root)
    os.mkdir(config)
    with open(os.path.join(config, 'config.json'), 'w') as file:
        file.write(mellanox())
    program = [os.path.abspath(word) for word in b.program()]
    for at, arguments in (('/k8s-rdma-shared-dev-plugin', []), ('/theirs', ['-config-file', '/theirs/config.json']),
                          ('/theirs', ['--config-file=/theirs/config.json', '-use-cdi']),
                          ('/k8s-rdma-shared-dev-plugin', ['--use-cdi'])):
        b.plugin = Process(['unshare', '--mount', '--net', 'sh', '-c', THEIR_CONTAINER, 'sh', root, b.root, b.node.sys,
                            b.node.dev, b.cdi, config, at, *program, *arguments],
                           os.path.join(b.directory, 'plugin.log'))
        kubelet.wait_count('rdma/hca_shared_devices_a', 2000)
        answer = kubelet.call_allocate('rdma/hca_shared_devices_a', ['0000:3b:00.0-7'])
        # Without their flag nodes; names, too, where there is a directory for specs.
        assert nodes(answer) == ([] if 'use-cdi' in str(arguments) else [
            'issm0', 'rdma_cm', 'umad0', 'uverbs0']), (arguments, answer)
        assert [d.name for d in answer.cdi_devices] == ['rdma/hca_shared_devices_a=mlx5_0'], (arguments, answer)
        assert b.plugin.end(signal.SIGTERM)[0] == 0
        kubelet.wait(lambda: kubelet.count('rdma/hca_shared_devices_a') == (2000, 0), 3, 'allocatable falls to 0')


@case(14)
def mellanox_configs_are_checked_by_its_rules(b):
    b.write_config(text=mellanox())
    status, out, err = b.ask('check', b.config_file)
    assert status == 0, out + err
    refusals(b, BAD_MELLANOX)


@case(0, controls=['no-reload'])
def the_config_changes(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    b.write_config(b.resource(shares=6))
    kubelet.wait_count(HCA, 12, seconds=10)
    b.write_config(b.resource(shares=2))
    kubelet.wait_count(HCA, 4, seconds=10)
    assert b.plugin.alive()


@case(0)
def the_config_changes_as_a_configmap_does(b):
    """A mounted ConfigMap is a link to a link to a directory; the update turns the middle one over."""
    b.two_hcas()
    volume = os.path.join(b.directory, 'volume')

    def publish(generation, text):
        os.makedirs(os.path.join(volume, f'..{generation}'))
        with open(os.path.join(volume, f'..{generation}', 'config.yaml'), 'w') as file:
            file.write(text)
        os.symlink(f'..{generation}', os.path.join(volume, '..data_tmp'))
        os.rename(os.path.join(volume, '..data_tmp'), os.path.join(volume, '..data'))
    publish('one', changed(shares=1))
    os.symlink('..data/config.yaml', os.path.join(volume, 'config.yaml'))
    kubelet = b.kubelet().start()
    # By inotify alone.
    b.start(config=os.path.join(volume, 'config.yaml'), poll_interval='3600')
    kubelet.wait_count(HCA, 2)
    publish('two', changed(shares=3))
    kubelet.wait_count(HCA, 6, seconds=10)
    # A bad one changes nothing, and is complained about.
    publish('three', changed(shares='many'))
    until(lambda: 'resources[0].shares' in b.plugin.text(), 10, 'the log has the complaint')
    assert kubelet.count(HCA) == (6, 6) and b.plugin.alive()
    publish('four', changed(shares=2))
    kubelet.wait_count(HCA, 4, seconds=10)


@case(0)
def resources_come_and_go_with_the_config(b):
    b.two_hcas()
    kubelet = b.kubelet(grace_seconds=1).start()
    for number in range(5):
        b.make_seat(number)
    b.start()
    kubelet.wait_count(HCA, 8)
    b.write_config(b.resource(), b.resource('rdmad.dev/second', 1), {'name': 'rdmad.dev/client', 'seats': 5})
    kubelet.wait_count('rdmad.dev/second', 2, seconds=10)
    kubelet.wait_count('rdmad.dev/client', 5, seconds=10)
    kubelet.wait_count(HCA, 8, seconds=5)
    b.write_config(b.resource('rdmad.dev/second', 1))
    kubelet.wait(lambda: kubelet.count(HCA) == (0, 0), 10, f'{HCA} is gone')
    kubelet.wait_count('rdmad.dev/second', 2, seconds=5)
    assert len(b.own_sockets()) == 1, b.own_sockets()
    assert not kubelet.overlaps()


@case(0)
def a_config_that_matches_nothing(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(b.resource(selectors=[{'vendors': ['1dd8']}]))
    kubelet.wait(lambda: kubelet.seen('message', HCA), 10, 'is registered with no devices')
    assert kubelet.seen('message', HCA)[0][3]['ids'] == 0 and kubelet.count(HCA) == (0, 0)
    until(lambda: HCA in b.plugin.text(), 5, 'the log has its name')
    said = [line for line in b.plugin.text().splitlines() if HCA in line and 'match' in line]
    assert said, f'no line says that {HCA} matches nothing:\n{b.plugin.text()}'


@case(0)
def a_reload_that_cannot_be_served_and_one_without_a_file(b):
    """Refused like any bad config; and a file that is gone for good is said once, and in the metrics."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)

    def current(value):
        return f'rdmad_device_plugin_config_current {value}\n' in b.get('/metrics')[1]
    until(lambda: current(1), 5, 'it is in use')
    b.write_config(b.resource('.'.join(['d' * 60] * 2) + '/name'))
    until(lambda: 'resources[0].name: the socket' in b.plugin.text(), 5, 'it is refused with its field')
    assert current(0) and kubelet.count(HCA) == (8, 8)
    b.write_config(b.resource(shares=2))
    kubelet.wait_count(HCA, 4, seconds=5)
    assert current(1)
    os.unlink(b.config_file)
    until(lambda: current(0), 5, 'it is gone')
    time.sleep(1)
    assert b.plugin.text().count('stays in use') == 1 and kubelet.count(HCA) == (4, 4)
    b.write_config(b.resource(shares=2))
    until(lambda: current(1), 5, 'it is back as it was')


@case(4)
def a_resource_that_leaves_and_is_back_at_once(b):
    """Its first server has to be through with the kubelet before the second one registers."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    other = b.resource('rdmad.dev/other', 1)
    b.start(b.resource(), other)
    for number in range(6):
        kubelet.wait_count(HCA, 8, seconds=10)
        b.write_config(other)
        time.sleep(0.02 * number)
        b.write_config(b.resource(), other)
        time.sleep(0.3)
    kubelet.wait_count(HCA, 8, seconds=10)
    assert len(b.own_sockets()) == 2 and not kubelet.overlaps(), kubelet.overlaps()
