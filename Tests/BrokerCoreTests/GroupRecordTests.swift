import Testing

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

    @Test func recordsHaveKafkasBytes() {
        for (record, key, value) in [(offset, offsetKey, offsetValue), (group, groupKey, groupValue)] {
            #expect(record.key == bytes(key))
            #expect(record.value == bytes(value))
            #expect(parse(bytes(key), bytes(value)) == record)
        }
        #expect(parse(bytes(groupKey), nil) == .group("g", nil))
        #expect(GroupRecord.group("g", nil).value == nil)
        #expect(parse(bytes(offsetKey), nil) == .offset(group: "g", OffsetKey(topic: "t", partition: 3), nil))
    }

    @Test func whatIsNotUnderstoodIsLeftAlone() {
        for (key, value) in [(offsetKey, offsetValue), (groupKey, groupValue)] {
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
