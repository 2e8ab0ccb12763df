"""The device plugin API in Python, made by grpcio's own protoc from the one copy of the .proto in the tree."""
import importlib
import os
import sys
import tempfile

os.environ.setdefault('GRPC_VERBOSITY', 'NONE')

import grpc
from grpc_tools import protoc

PROTO = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../Protos/deviceplugin.proto'))


def _generate():
    with tempfile.TemporaryDirectory(prefix='rdmad-proto.') as directory:
        status = protoc.main(['protoc', '-I' + os.path.dirname(PROTO), '--python_out=' + directory,
                              '--grpc_python_out=' + directory, PROTO])
        if status != 0:
            raise SystemExit(f'protoc refused {PROTO}')
        sys.path.insert(0, directory)
        try:
            return importlib.import_module('deviceplugin_pb2'), importlib.import_module('deviceplugin_pb2_grpc')
        finally:
            sys.path.remove(directory)


pb, services = _generate()
VERSION = 'v1beta1'
HEALTHY = 'Healthy'
UNHEALTHY = 'Unhealthy'


def channel(path, authority='localhost'):
    """A connection of its own: gRPC would otherwise share one between all channels to the same path."""
    return grpc.insecure_channel('unix:' + path, options=[
        ('grpc.use_local_subchannel_pool', 1), ('grpc.default_authority', authority),
        ('grpc.initial_reconnect_backoff_ms', 20), ('grpc.min_reconnect_backoff_ms', 20),
        ('grpc.max_reconnect_backoff_ms', 100), ('grpc.enable_http_proxy', 0)])
