#!/usr/bin/env python3
"""Writes kafka-python.txt: frames made by kafka-python's codec, an implementation that is not ours.

    pip install kafka-python==3.0.12
    python3 generate.py > kafka-python.txt

A line is `API kind version frame fields`: the frame in hex with its length prefix, and what its fields hold, so that
two fields of one type cannot be mistaken for each other. Of each version there is a message with everything set, every
number and text another one, and one with null, empty or zero wherever that is allowed.
"""
import importlib
import itertools
import pkgutil
import uuid

import kafka.protocol
from kafka.protocol.api_message import ApiMessage

APIS = """
    Produce Fetch ListOffsets Metadata OffsetCommit OffsetFetch FindCoordinator JoinGroup Heartbeat LeaveGroup SyncGroup
    DescribeGroups ListGroups SaslHandshake ApiVersions CreateTopics DeleteTopics DeleteRecords InitProducerId
    OffsetForLeaderEpoch AddPartitionsToTxn AddOffsetsToTxn EndTxn WriteTxnMarkers TxnOffsetCommit DescribeAcls
    CreateAcls DeleteAcls DescribeConfigs AlterConfigs DescribeLogDirs SaslAuthenticate CreatePartitions DeleteGroups
    IncrementalAlterConfigs OffsetDelete DescribeCluster DescribeProducers DescribeTransactions ListTransactions
""".split()
# The codec writes an array where null would be allowed: a client trips over null.
NEVER_NULL = {("CreateTopicsResponse", "Configs")}


def message_classes():
    for module in pkgutil.walk_packages(kafka.protocol.__path__, "kafka.protocol."):
        if ".old" not in module.name and "generate" not in module.name:
            importlib.import_module(module.name)
    return {c.__name__: c for c in ApiMessage.__subclasses__()}


class Sample:
    """Chooses the values of one message and describes them."""

    def __init__(self, message, version, full):
        self.message, self.version, self.full = message, version, full
        self.numbers = itertools.count(1)
        self.depth = 0

    def fields(self, struct):
        """The values of a structure's fields, and their description: those with tags come last."""
        values, plain, tagged = {}, [], []
        self.depth += 1
        for field in struct._fields:
            if not field.for_version_q(self.version):
                continue
            name = field._json["name"].replace("V3AndBelow", "")
            name = name[0].lower() + name[1:]
            if name == "authorized_operations":  # kafka-python's name for two of Kafka's
                name = ("cluster" if self.depth == 1 else "topic") + "AuthorizedOperations"
            has_tag = field.tagged_field_q(self.version)
            if has_tag and not self.full:
                continue
            values[field.name], text = self.value(field)
            (tagged if has_tag else plain).append(f"{name}={text}")
        self.depth -= 1
        return values, " ".join(plain + tagged)

    def value(self, field):
        kind = field._json["type"]
        nullable = field.nullable_for_version_q(self.version)
        if nullable and not self.full and (self.message, field._json["name"]) not in NEVER_NULL:
            return None, "-1" if field.is_struct() else "null"
        if kind.startswith("[]"):
            count = 1 if self.depth > 1 and field.is_struct_array() or not self.full else 2
            items = [self.item(field.array_of, kind[2:]) for _ in range(count)]
            return [value for value, _ in items], "[" + " ".join(text for _, text in items) + "]"
        value, text = self.item(field, kind)
        return value, "1 " + text if nullable and field.is_struct() else text

    def item(self, field, kind):
        if field.is_struct():
            values, text = self.fields(field)
            return field.data_class(version=self.version, **values), "{" + text + "}"
        number = next(self.numbers) if self.full else 0
        if kind == "string":
            text = f"\u00fc{number}" if number % 5 == 0 and self.full else f"s{number}" if self.full else ""
            return text, f'"{text}"'
        if kind in ("bytes", "records"):
            data = bytes([number % 256] * (130 if number % 3 == 0 else 3)) if self.full else b""
            return data, f"{len(data)} bytes" if kind == "records" else "x" + data.hex()
        if kind == "bool":
            return self.full, str(int(self.full))
        if kind == "uuid":
            value = uuid.UUID(int=(number << 120) + number)
            return value, f"{value.int >> 64} {value.int & (1 << 64) - 1}"
        if kind == "bitfield":
            return ({3, 8}, "264") if self.full else ({0}, "1")
        if kind == "int8":
            return number % 128, str(number % 128)
        if kind == "int16" or field._json["name"].endswith("ErrorCode"):
            # All of them are error codes that have names.
            return number % 90, str(number % 90)
        sizes = {"int32": 1 << 24, "int64": 1 << 56}
        return number * sizes[kind] + number, str(number * sizes[kind] + number)


def main():
    classes = message_classes()
    for api, kind in itertools.product(APIS, ("Request", "Response")):
        message = classes[api + kind]
        low = int(message._json["validVersions"].split("-")[0])
        for version, full in itertools.product(range(low, message.max_version + 1), (True, False)):
            values, text = Sample(api + kind, version, full).fields(message._struct)
            data = message(version=version, **values)
            if kind == "Request":
                data.with_header(correlation_id=4711, client_id="golden" if full else None)
            else:
                data.with_header(correlation_id=4711)
            frame = data.encode(header=True, framed=True)
            print(api, kind, version, frame.hex(), "{" + text + "}")


main()
