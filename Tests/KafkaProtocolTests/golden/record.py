#!/usr/bin/env python3
"""Writes recorded.txt: what clients and librdkafka's mock cluster really send.

    pip install confluent-kafka==2.16.1 aiokafka==0.14.0     # and strace, from the distribution
    python3 record.py > recorded.txt

The clients talk to the mock cluster inside confluent-kafka, all under strace, whose output has every frame. Of each
API, version and direction the two shortest frames of different lengths are kept. A line is `API kind version frame
sender`.
"""
import asyncio
import collections
import os
import re
import subprocess
import sys
import tempfile
import time

import aiokafka
import confluent_kafka as ck

APIS = {
    0: "Produce", 1: "Fetch", 2: "ListOffsets", 3: "Metadata", 8: "OffsetCommit", 9: "OffsetFetch",
    10: "FindCoordinator", 11: "JoinGroup", 12: "Heartbeat", 13: "LeaveGroup", 14: "SyncGroup", 17: "SaslHandshake",
    18: "ApiVersions", 22: "InitProducerId", 23: "OffsetForLeaderEpoch", 24: "AddPartitionsToTxn",
    25: "AddOffsetsToTxn", 26: "EndTxn", 28: "TxnOffsetCommit", 36: "SaslAuthenticate", 68: "ConsumerGroupHeartbeat",
}
SENDERS = {"librdkafka": f"librdkafka-{ck.libversion()[0]}", "aiokafka": f"aiokafka-{aiokafka.__version__}"}


def librdkafka(address):
    common = {"bootstrap.servers": address, "client.id": "golden"}
    producer = ck.Producer(common | {"enable.idempotence": True, "linger.ms": 5})
    for number in range(20):
        producer.produce("plain", b"value %d" % number, key=b"%d" % number, partition=number % 2)
    producer.flush(10)
    for protocol in ("classic", "consumer"):
        consumer = ck.Consumer(common | {
            "group.id": f"group-{protocol}", "group.protocol": protocol, "auto.offset.reset": "earliest",
            "enable.auto.commit": False})
        consumer.subscribe(["plain"])
        read, end = 0, time.monotonic() + 15
        while read < 20 and time.monotonic() < end:
            message = consumer.poll(0.2)
            read += message is not None and message.error() is None
        if read:
            consumer.commit(asynchronous=False)
            consumer.offsets_for_times([ck.TopicPartition("plain", 0, 1)], timeout=5)
        time.sleep(4)
        consumer.close()
    transactional = ck.Producer(common | {"transactional.id": "transaction"})
    transactional.init_transactions(10)
    for commit in (True, False):
        transactional.begin_transaction()
        transactional.produce("plain", b"in a transaction", partition=0)
        member = ck.Consumer(common | {"group.id": "group-txn"})
        transactional.send_offsets_to_transaction(
            [ck.TopicPartition("plain", 0, 3)], member.consumer_group_metadata(), 10)
        transactional.commit_transaction(10) if commit else transactional.abort_transaction(10)
        member.close()


async def aiokafka_client(address):
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=address, client_id="golden", enable_idempotence=True)
    await producer.start()
    for number in range(20):
        await producer.send_and_wait("other", b"value %d" % number, key=b"%d" % number)
    await producer.stop()
    consumer = aiokafka.AIOKafkaConsumer(
        "other", bootstrap_servers=address, client_id="golden", group_id="group-aiokafka",
        auto_offset_reset="earliest", heartbeat_interval_ms=500)
    await consumer.start()
    for _ in range(20):
        await asyncio.wait_for(consumer.getone(), 15)
    await consumer.commit()
    await asyncio.sleep(2)
    await consumer.offsets_for_times({partition: 1 for partition in consumer.assignment()})
    await consumer.stop()


def play(sender):
    """Runs the mock cluster and one client."""
    mock = ck.Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(mock.list_topics(timeout=10).brokers.values()))
    address = f"{broker.host}:{broker.port}"
    if sender == "librdkafka":
        librdkafka(address)
    else:
        asyncio.run(aiokafka_client(address))


def streams(trace):
    """What each socket sent, by its two addresses."""
    sent = collections.defaultdict(bytes)
    pending = {}
    for line in open(trace):
        process = line.split(" ", 1)[0]
        if line.rstrip().endswith("<unfinished ...>"):
            pending[process] = line
            continue
        if "resumed>" in line:
            line = pending.pop(process, "").replace("<unfinished ...>", "") + line.split("resumed>", 1)[1]
        found = re.search(r"(?:sendmsg|sendto|write)\(\d+<TCP:\[(.*?)->(.*?)\]>, (.*) = (\d+)$", line.strip())
        if found:
            data = b"".join(
                bytes.fromhex(text.replace("\\x", "")) for text in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', found[3]))
            sent[found[1], found[2]] += data[:int(found[4])]
    return sent


def frames(stream):
    while len(stream) >= 4:
        size = 4 + int.from_bytes(stream[:4], "big")
        yield stream[:size]
        stream = stream[size:]


def collect(sender, kept):
    with tempfile.TemporaryDirectory() as folder:
        trace = os.path.join(folder, "trace")
        subprocess.run(
            ["strace", "-f", "-yy", "-xx", "-s", "1000000", "-e", "trace=sendmsg,sendto,write", "-o", trace,
             sys.executable, __file__, sender], check=True, stdout=subprocess.DEVNULL)
        sent = streams(trace)
    for (here, there), stream in sent.items():
        requests = {}
        for frame in frames(stream):
            key, version, correlation = frame[4:6], frame[6:8], frame[8:12]
            requests[correlation] = (int.from_bytes(key, "big"), int.from_bytes(version, "big"), frame)
        # Every connection begins with ApiVersions; the other direction has its answers.
        if next(iter(requests.values()))[0] != 18 or next(iter(requests.values()))[1] > 4:
            continue
        for key, version, frame in requests.values():
            if key in APIS:
                # The process of the mock cluster is a client of it, too.
                source = "librdkafka" if frame[12:21] == b"\0\7rdkafka" else sender
                kept[APIS[key], "Request", version].add((len(frame), frame.hex(), SENDERS[source]))
        for frame in frames(sent.get((there, here), b"")):
            key, version, _ = requests.get(frame[4:8], (None, None, None))
            # What answers an unknown version of ApiVersions is of version 0. And the mock cluster ends Metadata 13 with
            # a byte too many.
            if key in APIS and not (key == 18 and frame[8:10] != b"\0\0") and (key, version) != (3, 13):
                kept[APIS[key], "Response", version].add((len(frame), frame.hex(), SENDERS["librdkafka"] + "-mock"))


def main():
    kept = collections.defaultdict(set)
    for sender in SENDERS:
        collect(sender, kept)
    for (api, kind, version), found in sorted(kept.items()):
        by_length = {(size, sender): (frame, sender) for size, frame, sender in sorted(found)}
        chosen = [by_length[choice] for choice in sorted(by_length)]
        for sender in sorted({sender for _, sender in chosen}):
            for frame, _ in [choice for choice in chosen if choice[1] == sender][:2]:
                print(api, kind, version, frame, sender)


if len(sys.argv) > 1:
    play(sys.argv[1])
else:
    main()
