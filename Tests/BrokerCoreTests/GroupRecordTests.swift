import Testing
import TopicLog

@testable import BrokerCore

/// Records of `__consumer_offsets` against bytes packed by hand (Python's `struct`) from Kafka's schemas.
@Suite struct GroupRecordTests {
    private func bytes(_ hex: String) -> [UInt8] {
        let digits = hex.utf8.map { UInt8($0 < 58 ? $0 - 48 : $0 - 87) }
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    private func parse(_ key: [UInt8], _ value: [UInt8]?) -> GroupRecord? {
        unsafe key.withUnsafeBytes { key in
            guard let value else { return unsafe GroupRecord(key: key, value: nil) }
            return unsafe value.withUnsafeBytes { unsafe GroupRecord(key: key, value: $0) }
        }
    }

    private let offset = GroupRecord.offset(
        group: "g", OffsetKey(topic: "t", partition: 3),
        CommittedOffset(offset: 258, leaderEpoch: -1, metadata: "né", committedAt: 1_700_000_000_000))
    private let offsetKey = "000100016700017400000003"
    private let offsetValue = "00030000000000000102ffffffff00036ec3a90000018bcfe56800"

    private var group: GroupRecord {
        var group = StoredGroup(Group(id: "g", now: 0, usage: GroupUsage()), now: 1_700_000_000_000)!
        group.protocolType = "consumer"
        group.generation = 5
        group.protocolName = "range"
        group.leader = "m-1"
        group.members = [
            .init(
                id: "m-1", instanceID: nil, clientID: "c", host: "h", rebalanceTimeoutMilliseconds: 60_000,
                sessionTimeoutMilliseconds: 10_000, metadata: [1, 2, 3], assignment: [9, 8]),
            .init(
                id: "m-2", instanceID: "box", clientID: "c", host: "h", rebalanceTimeoutMilliseconds: 60_000,
                sessionTimeoutMilliseconds: 10_000, metadata: [], assignment: []),
        ]
        return .group("g", group)
    }
    private let groupKey = "0002000167"
    private let groupValue =
        "00030008636f6e73756d657200000005000572616e676500036d2d310000018bcfe568000000000200036d2d31ffff00"
        + "01630001680000ea60000027100000000301020300000002090800036d2d320003626f780001630001680000ea600000"
        + "27100000000000000000"

    /// Of a group of KIP-848: keys 3, 5, 6, 7 and 8.
    private var ofConsumers: [(GroupRecord, String, String)] {
        let topic = TopicUUID(high: 0x0102_0304_0506_0708, low: 0x1112_1314_1516_1718)
        let records: [(ConsumerGroupRecord, String, String)] = [
            (.group(.init(epoch: 5, metadataHash: -2)), "0003000167", "000000000005010008fffffffffffffffe"),
            (
                .member(
                    "m",
                    .init(
                        instanceID: "box", rackID: nil, clientID: "c", host: "h", topics: ["t", "u"], pattern: "x.*",
                        rebalanceTimeoutMilliseconds: 300_000, assignor: "uniform")), "000500016700016d",
                "000004626f780002630268030274027504782e2a000493e008756e69666f726d00"
            ),
            (.target(4), "0006000167", "00000000000400"),
            (
                .targetOf("m", PartitionSet([topic: [0, 258]])), "000700016700016d",
                "000002010203040506070811121314151617180300000000000001020000"
            ),
            (
                .current(
                    "m",
                    .init(
                        epoch: 5, previousEpoch: 4, state: .unrevoked, assigned: PartitionSet([topic: [0]]),
                        revoking: PartitionSet([topic: [258]]))), "000800016700016d",
                "000000000005000000040102010203040506070811121314151617180200000000000201020304050607081112131415161718"
                    + "02000001020000"
            ),
        ]
        return records.map { (.consumer("g", $0.0), $0.1, $0.2) }
    }

    @Test func recordsHaveKafkasBytes() {
        for (record, key, value) in [(offset, offsetKey, offsetValue), (group, groupKey, groupValue)] + ofConsumers {
            #expect(record.key == bytes(key))
            #expect(record.value == bytes(value))
            #expect(parse(bytes(key), bytes(value)) == record)
        }
        #expect(parse(bytes(groupKey), nil) == .group("g", nil))
        #expect(GroupRecord.group("g", nil).value == nil)
        for (record, key, _) in ofConsumers {
            guard case .consumer("g", let tombstone)? = parse(bytes(key), nil) else {
                Issue.record("\(record) has no tombstone")
                continue
            }
            #expect(tombstone.isTombstone && GroupRecord.consumer("g", tombstone).key == bytes(key))
        }
        #expect(parse(bytes(offsetKey), nil) == .offset(group: "g", OffsetKey(topic: "t", partition: 3), nil))
    }

    @Test func whatIsNotUnderstoodIsLeftAlone() {
        let known = [(offsetKey, offsetValue), (groupKey, groupValue)] + ofConsumers.map { ($0.1, $0.2) }
        for (key, value) in known {
            let (key, value) = (bytes(key), bytes(value))
            for count in 0..<key.count { #expect(parse(Array(key[..<count]), value) == nil) }
            for count in 0..<value.count { #expect(parse(key, Array(value[..<count])) == nil) }
            var later = value
            later[1] = 4
            #expect(parse(key, later) == nil)
            later = key
            later[1] = 9
            #expect(parse(later, value) == nil)
        }
    }

    @Test func groupsHaveKafkasPartitions() {
        // Java: "group".hashCode() is 98629247, "polygenelubricants".hashCode() is Integer.MIN_VALUE.
        #expect(Broker.place(of: "group", among: 50) == 98_629_247 % 50)
        #expect(Broker.place(of: "polygenelubricants", among: 50) == 0)
        // "Aa" and "BB" are 2112; a negative one: "console-consumer-1" stays in range.
        #expect(Broker.place(of: "Aa", among: 50) == 12)
        for number in 0..<1_000 { #expect((0..<7).contains(Broker.place(of: "console-\(number)", among: 7))) }
    }
}
