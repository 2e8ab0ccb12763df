"""A node's sysfs and /dev in a directory, laid out as Linux does it (a device's directory, and links to it from the
classes), so that devices can come, go and change while a plugin looks on."""
import itertools
import os
import shutil
import stat

ETHERNET, INFINIBAND = 'Ethernet', 'InfiniBand'
STATES = {'DOWN': ('1: DOWN', '3: Disabled'), 'INIT': ('2: INIT', '5: LinkUp'), 'ACTIVE': ('4: ACTIVE', '5: LinkUp')}


class FakeNode:
    def __init__(self, root):
        self.root = root
        self.sys, self.dev = os.path.join(root, 'sys'), os.path.join(root, 'dev')
        self.aside = os.path.join(root, 'aside')
        self.numbers = itertools.count()
        self.hcas = {}
        for directory in (self.aside, os.path.join(self.dev, 'infiniband'), os.path.join(self.sys, 'bus/pci/devices'),
                          os.path.join(self.sys, 'bus/pci/drivers'),
                          *(os.path.join(self.sys, 'class', c)
                            for c in ('infiniband', 'infiniband_verbs', 'infiniband_mad', 'net', 'misc'))):
            os.makedirs(directory)
        for kind in ('infiniband_verbs', 'infiniband_mad'):
            self._write(f'class/{kind}/abi_version', '6')
        self._class_device('devices/virtual/misc/rdma_cm', 'misc', {'dev': '10:58'})
        self.make_node('rdma_cm')

    # What there may be in a node

    def add_mellanox(self, name, pci, netdev=None, numa=0, root_port='0000:00:01.0', state='ACTIVE', vf_of=None,
                     ports=1, link_layer=ETHERNET, mad=True):
        """mlx5: a physical function, or a virtual one (which has no issm)."""
        self._add_pci(name, pci, root_port, vendor='0x15b3', device='0x101e' if vf_of else '0x101d', driver='mlx5_core',
                      netdevs=[netdev] if netdev else [], numa=numa, state=state, ports=ports, link_layer=link_layer,
                      umad=mad, issm=mad and not vf_of, vf_of=vf_of)

    def add_irdma(self, name, pci, netdev, numa=0, root_port='0000:00:02.0', state='ACTIVE'):
        """Intel's: RoCE without umad and issm."""
        self._add_pci(name, pci, root_port, vendor='0x8086', device='0x1592', driver='ice', netdevs=[netdev], numa=numa,
                      state=state, ports=1, link_layer=ETHERNET, umad=False, issm=False)

    def add_virtual(self, name, netdev, kind='rxe', state='ACTIVE'):
        """Soft-RoCE and siw: no PCI device below. rxe has a file `parent` with its netdev, siw says in its description what
        it is."""
        if not os.path.lexists(self._sys('class/net', netdev)):
            self._add_netdev(f'devices/virtual/net/{netdev}', netdev)
        self._add(name, f'devices/virtual/infiniband/{name}', None, ports=1, link_layer=ETHERNET, netdevs=[netdev],
                  state=state, umad=kind == 'rxe', issm=False, node_type='1: CA' if kind == 'rxe' else '4: RNIC')
        if kind == 'rxe':
            self._write(f'devices/virtual/infiniband/{name}/parent', netdev)
        else:
            self._write(f'devices/virtual/infiniband/{name}/node_desc', 'Software iWARP stack')

    # What may happen to it

    def set_state(self, name, state, port=1):
        directory = f'{self.hcas[name]["directory"]}/ports/{port}'
        logical, physical = STATES[state]
        self._write(f'{directory}/phys_state', physical)
        self._write(f'{directory}/state', logical)

    def remove(self, name):
        """As a driver's removal: the classes' links go first, then what they led to; the nodes with it."""
        hca = self.hcas.pop(name)
        for link in hca['links']:
            os.unlink(self._sys(link))
        for node in hca['nodes']:
            os.unlink(os.path.join(self.dev, 'infiniband', node))
        for directory in hca['directories']:
            gone = os.path.join(self.aside, f'gone-{next(self.numbers)}')
            os.rename(self._sys(directory), gone)
            shutil.rmtree(gone)

    def remove_node(self, name):
        os.unlink(os.path.join(self.dev, 'infiniband', name))

    def make_node(self, name):
        path = os.path.join(self.dev, 'infiniband', name)
        if os.geteuid() == 0:
            os.mknod(path, stat.S_IFCHR, os.makedev(1, 3))
            os.chmod(path, 0o666)
        else:
            with open(path, 'w'):
                pass

    def uverbs(self, name):
        return self.hcas[name]['uverbs']

    # Below, how it is written down

    def _sys(self, *parts):
        return os.path.join(self.sys, *parts)

    def _write(self, path, text):
        """In one step, as one read of sysfs sees one value."""
        os.makedirs(os.path.dirname(self._sys(path)), exist_ok=True)
        aside = os.path.join(self.aside, f'text-{next(self.numbers)}')
        with open(aside, 'w') as file:
            file.write(text + '\n')
        os.replace(aside, self._sys(path))

    def _link(self, link, target):
        os.makedirs(os.path.dirname(self._sys(link)), exist_ok=True)
        os.symlink(os.path.relpath(self._sys(target), os.path.dirname(self._sys(link))), self._sys(link))
        return link

    def _class_device(self, directory, kind, files):
        name = os.path.basename(directory)
        for file, text in files.items():
            self._write(f'{directory}/{file}', text)
        self._link(f'{directory}/subsystem', f'class/{kind}')
        return self._link(f'class/{kind}/{name}', directory)

    def _add_netdev(self, directory, name):
        number = next(self.numbers)
        return self._class_device(directory, 'net', {
            'type': '1', 'operstate': 'up', 'carrier': '1', 'flags': '0x1003', 'ifindex': str(number + 2),
            'address': f'02:00:00:00:00:{number % 256:02x}', 'dev_port': '0', 'dev_id': '0x0'})

    def _add_pci(self, name, pci, root_port, vendor, device, driver, netdevs, numa, vf_of=None, **more):
        base = f'devices/pci{root_port[:7]}/{root_port}/{pci}'
        self._write(f'devices/pci{root_port[:7]}/{root_port}/class', '0x060400')
        for file, text in {'vendor': vendor, 'device': device, 'class': '0x020000', 'numa_node': str(numa)}.items():
            self._write(f'{base}/{file}', text)
        os.makedirs(self._sys(f'bus/pci/drivers/{driver}'), exist_ok=True)
        self._link(f'{base}/driver', f'bus/pci/drivers/{driver}')
        links = [self._link(f'bus/pci/devices/{pci}', base)]
        if vf_of:
            function = os.path.realpath(self._sys('bus/pci/devices', vf_of))
            self._link(f'{base}/physfn', os.path.relpath(function, os.path.realpath(self.sys)))
        for netdev in netdevs:
            links.append(self._add_netdev(f'{base}/net/{netdev}', netdev))
            self._link(f'{base}/net/{netdev}/device', base)
        self._add(name, f'{base}/infiniband/{name}', base, netdevs=netdevs, links=links, **more)

    def _add(self, name, directory, base, ports, link_layer, netdevs, state, umad, issm, node_type='1: CA', links=()):
        number = next(n for n in itertools.count() if n not in {h['number'] for h in self.hcas.values()})
        guid = f'0200:00ff:fe00:{next(self.numbers):04x}'
        logical, physical = STATES[state]
        for file, text in {'node_guid': guid, 'sys_image_guid': guid, 'node_type': node_type, 'node_desc': name,
                           'fw_ver': '1.0'}.items():
            self._write(f'{directory}/{file}', text)
        for port in range(1, ports + 1):
            at = f'{directory}/ports/{port}'
            for file, text in {'link_layer': link_layer, 'phys_state': physical, 'state': logical, 'lid': '0x0',
                               'rate': '100 Gb/sec (4X EDR)', 'gids/0': f'fe80:0000:0000:0000:{guid}',
                               'gids/1': '0000:' * 7 + '0000'}.items():
                self._write(f'{at}/{file}', text)
            if link_layer == ETHERNET:
                self._write(f'{at}/gid_attrs/types/0', 'RoCE v2')
                self._write(f'{at}/gid_attrs/ndevs/0', netdevs[min(port, len(netdevs)) - 1])
            else:
                self._write(f'{at}/gid_attrs/types/0', 'IB/RoCE v1')
        if base:
            self._link(f'{directory}/device', base)
        uverbs, nodes, links, directories = f'uverbs{number}', [f'uverbs{number}'], list(links), []
        above = base or 'devices/virtual'
        directories.append(f'{above}/infiniband_verbs/{uverbs}')
        verbs = self._class_device(directories[-1], 'infiniband_verbs', {'ibdev': name, 'dev': f'231:{192 + number}'})
        for kind, present in (('umad', umad), ('issm', issm)):
            if present:
                nodes.append(f'{kind}{number}')
                directories.append(f'{above}/infiniband_mad/{kind}{number}')
                links.append(self._class_device(directories[-1], 'infiniband_mad', {
                    'ibdev': name, 'port': '1', 'dev': f'231:{number if kind == "umad" else 64 + number}'}))
        for device in [] if not base else [d for d in directories]:
            self._link(f'{device}/device', base)
        for node in nodes:
            self.make_node(node)
        hca = self._class_device(directory, 'infiniband', {})
        self.hcas[name] = {'number': number, 'uverbs': uverbs, 'nodes': nodes, 'directory': directory,
                           'links': [hca, verbs, *links], 'directories': [*directories, base or directory]}
