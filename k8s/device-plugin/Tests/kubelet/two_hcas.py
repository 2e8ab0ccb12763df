#!/usr/bin/env python3
"""Makes a node with two HCAs, and the plugin's config of four shares each. Usage: two_hcas.py DIRECTORY"""
import json
import os
import sys

from fake_node import FakeNode

directory = sys.argv[1]
node = FakeNode(directory)
node.add_mellanox('mlx5_0', '0000:3b:00.0', 'ens1', numa=0, root_port='0000:3a:00.0')
node.add_mellanox('mlx5_1', '0000:af:00.0', 'ens2', numa=1, root_port='0000:ae:00.0')
with open(os.path.join(directory, 'config.json'), 'w') as file:
    json.dump({'version': 'v1', 'resources': [
        {'name': 'rdmad.dev/hca', 'shares': 4, 'selectors': [{'rdmaDevices': ['*']}]}]}, file)
