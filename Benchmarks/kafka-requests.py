"""Sends a Kafka server so many small requests, one after another: kafka-requests.py HOST:PORT produce|fetch COUNT. Each has
one partition and one batch of one record of 100 bytes. The topic `load` is created. No library: what the server does for a
request is measured, and nothing of a client's."""
import socket
import struct
import sys
import time


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82F63B78 * (crc & 1)
    return crc ^ 0xFFFFFFFF


def varint(number):
    number <<= 1
    return bytes([number]) if number < 128 else bytes([number & 127 | 128, number >> 7])


def batch(value):
    record = b'\0\0\0\1' + varint(len(value)) + value + b'\0'          # no key, no headers
    body = struct.pack('>hiqqqhii', 0, 0, 1, 1, -1, -1, -1, 1) + varint(len(record)) + record
    return struct.pack('>qiibI', 0, len(body) + 9, 0, 2, crc32c(body)) + body


class Connection:
    def __init__(self, address):
        host, port = address.split(':')
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self, count):
        data = b''
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                sys.exit('the server has closed the connection')
            data += piece
        return data

    def ask(self, api, version, body):
        frame = struct.pack('>hhi', api, version, 1) + text(b'client') + body
        self.socket.sendall(struct.pack('>i', len(frame)) + frame)
        return self.receive(*struct.unpack('>i', self.receive(4)))


def text(data):
    return struct.pack('>h', len(data)) + data


address, what, count = sys.argv[1:]
connection = Connection(address)
records = batch(b'x' * 100)
produce = struct.pack('>hhii', -1, -1, 1000, 1) + text(b'load') + struct.pack('>iii', 1, 0, len(records)) + records
fetch = (struct.pack('>iiiibiii', -1, 500, 1, 1 << 20, 0, 0, -1, 1) + text(b'load')
         + struct.pack('>iiiqqii', 1, 0, -1, 0, -1, 100, 0) + text(b''))
while True:
    connection.ask(3, 4, struct.pack('>i', 1) + text(b'load') + b'\1')
    answer = connection.ask(0, 7, produce)
    error = struct.unpack_from('>h', answer, 4 + 4 + 2 + 4 + 4 + 4)[0]
    if error == 0:
        break
    if error != 3:                        # it is not there yet
        sys.exit(f'Produce was answered with error {error}')
    time.sleep(0.05)
for _ in range(int(count)):
    answer = connection.ask(*((0, 7, produce) if what == 'produce' else (1, 11, fetch)))
# A fetch gives the first batch, a produce an offset.
if what == 'fetch' and records[61:] not in answer:
    sys.exit('Fetch gave no records')
