"""The base's node daemon with RDMA, and a pod with a device, on a machine with rxe0. The device plugin's answer gives a pod
the nodes of its device, which is all that it has. Usage: rxe.py IMAGE-DIRECTORY TEMPLATES"""
import copy
import json
import os
import shutil
import sys
import tempfile

from pods import Node, Pod

NODES = {'mounts': [(f'/dev/infiniband/{name}', f'/dev/infiniband/{name}', False) for name in ('uverbs0', 'rdma_cm')],
         'environment': {'RDMAD_DEVICES': 'rxe0'}}
BROKER = 'rdma://10.9.0.1:9440'


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def main():
    with open(sys.argv[2]) as file:
        templates = json.load(file)
    work = tempfile.mkdtemp(prefix='rdmad-k8s.')
    image = shutil.copytree(sys.argv[1], os.path.join(work, 'image'), symlinks=True,
                            ignore=shutil.ignore_patterns('rdmad-device-plugin'))
    node = Node(work, image)
    try:
        # Without the nodes, and without the capability, it does not run.
        refused = Pod(node, 'without-device', templates['daemon']).start('rdmad')
        expect(refused.wait('rdmad') == 1 and 'cannot listen on rdma://' in refused.log('rdmad'), refused.log('rdmad'))
        weaker = copy.deepcopy(templates['daemon'])
        del weaker['spec']['containers'][0]['securityContext']['capabilities']['add']
        refused = Pod(node, 'without-capability', weaker, devices=NODES).start('rdmad')
        expect(refused.wait('rdmad') == 1 and 'memlock' in refused.log('rdmad'), refused.log('rdmad'))

        daemon = Pod(node, 'rdmad', templates['daemon'], devices=NODES).start('rdmad')
        daemon.wait_started('rdmad')
        expect(daemon.status('rdmad', 'CapEff') == '0000000000004000', 'it has more than IPC_LOCK')
        expect('on rxe0' in daemon.log('rdmad'), daemon.log('rdmad'))
        doctor = Pod(node, 'doctor', templates['client'], devices=NODES).start('doctor')
        expect(doctor.wait('doctor') == 0 and 'device rxe0' in doctor.output('doctor'), doctor.output('doctor'))
        bench = Pod(node, 'client', templates['client'], devices=NODES)
        expect(daemon.exec('rdmad', ['/usr/bin/rdmad', 'topic', 'create', 't'])[0] == 0, 'no topic')
        for arguments in (['produce', 't', '/etc/passwd'], ['consume', 't', '--exit-at-end']):
            bench.start('doctor', [*arguments, '--broker', BROKER])
            expect(bench.wait('doctor') == 0, bench.log('doctor'))
        with open(f'{image}/etc/passwd') as file:
            expect(bench.output('doctor') == file.read(), bench.output('doctor'))
        expect(daemon.terminate('rdmad')[0] == 0, daemon.log('rdmad'))
    finally:
        node.stop()
        shutil.rmtree(work, ignore_errors=True)


main()
