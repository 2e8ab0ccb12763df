#!/usr/bin/env python3
"""Writes GoldenBatches.swift: RecordBatch v2 bytes made by kafka-python, an implementation that is not ours.

    pip install kafka-python==3.0.12 crc32c
    python3 generate.py > ../GoldenBatches.swift
"""
from kafka.record.default_records import DefaultRecordBatchBuilder

CASES = {
    # name: (producer id, epoch, base sequence, [(timestamp, key, value, headers)])
    "oneRecord": (-1, -1, -1, [(1700000000000, None, b"hello", [])]),
    "keysNullsAndHeaders": (-1, -1, -1, [
        (1700000000000, b"key", b"value", []),
        (1700000000500, None, None, []),
        (1699999999000, b"", b"", [("h1", b"v1"), ("h1", b""), ("null", None)]),
        (1700000000001, b"k" * 200, b"v" * 9000, [("\u00fcber", bytes(range(256)))]),
    ]),
    "idempotent": (4711, 3, 2147483646, [(1700000000000 + i, None, b"%d" % i, []) for i in range(5)]),
    "manyRecords": (-1, -1, -1, [(1700000000000 + i * 7919, b"%d" % i, b"x" * (i % 70), []) for i in range(200)]),
}

print("// Made by golden/generate.py with kafka-python 3.0.12: do not edit.")
print("enum GoldenBatches {")
for name, (producer_id, epoch, sequence, records) in CASES.items():
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=0, producer_id=producer_id, producer_epoch=epoch,
        base_sequence=sequence, batch_size=1 << 20)
    for index, (timestamp, key, value, headers) in enumerate(records):
        assert builder.append(index, timestamp, key, value, headers) is not None
    text = bytes(builder.build()).hex()
    print(f"    static let {name} = golden(")
    for start in range(0, len(text), 104):
        print('        "' + text[start:start + 104] + '"' + ("," if start + 104 < len(text) else ")"))
print("""
    private static func golden(_ lines: String...) -> [UInt8] {
        let digits = lines.flatMap { $0.utf8.map { $0 < 58 ? $0 - 48 : $0 - 87 } }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}""")
