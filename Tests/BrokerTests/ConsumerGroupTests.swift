import BrokerTestSupport
import Foundation
import RdmadClient
import Testing
import TopicProtocol
import TransportTestSupport

/// Consumer groups of the client library and the command, over shared memory.
@Suite(.timeLimit(.minutes(5))) struct ConsumerGroupTests {
    static let options = ["--group-min-session-timeout-ms", "500", "--group-initial-rebalance-delay-ms", "100"]
    static let isLong = ProcessInfo.processInfo.environment["RDMAD_TEST_LONG"] == "1"

    @Test(arguments: Assignor.allCases) func membersComeAndGo(assignor: Assignor) async throws {
        let broker = try TestBroker(options: Self.options)
        try await groupLife(try broker.address, assignor: assignor)
        #expect(broker.stop() == 0)
    }

    @Test func whatNeedNotMoveGoesOn() async throws {
        let broker = try TestBroker(options: Self.options)
        try await rebalanceWithoutStopping(try broker.address)
        #expect(broker.stop() == 0)
    }

    @Test func membersThatAreKilledAndStopped() async throws {
        let broker = try TestBroker(options: Self.options)
        try await killedAndStoppedMembers(broker, topic: "dying")
        #expect(broker.stop() == 0)
    }

    /// A member goes on after the broker was killed; so does a group that had no member then.
    @Test func offsetsSurviveTheBroker() async throws {
        let broker = try TestBroker(options: Self.options)
        let address = try broker.address
        let admin = Admin(broker: address)
        defer { admin.close() }
        try await admin.createTopic("t", partitions: 2)
        try await fill(address, "t", partitions: 2, count: 40)
        let idle = try await GroupReader(["t"], group: "idle", broker: address)
        try await waitFor("the first half") { idle.count == 80 }
        idle.consumer.close()
        let reader = try await GroupReader(["t"], group: "busy", broker: address)
        try await waitFor("the first half") { reader.count == 80 }
        try await waitFor("it is committed") {
            try await reader.consumer.committed() == [TopicPartition("t", 0): 40, TopicPartition("t", 1): 40]
        }
        broker.kill()
        try broker.start()
        try await fill(address, "t", partitions: 2, count: 40)
        try await waitFor("the second half") {
            try reader.check()
            return (0..<2).allSatisfy { reader.offsets(TopicPartition("t", $0)) == Array(0..<80) }
        }
        reader.consumer.close()
        let again = try await GroupReader(["t"], group: "idle", broker: address)
        try await waitFor("what the idle group has not read") { again.count == 80 }
        #expect(again.offsets(TopicPartition("t", 1)) == Array(40..<80))
        again.consumer.close()
        #expect(broker.stop() == 0)
    }

    /// Commits by hand: before processing, after it, from outside of the group; and what is refused.
    @Test func commitsByHand() async throws {
        let broker = try TestBroker(options: Self.options)
        let address = try broker.address
        let admin = Admin(broker: address)
        defer { admin.close() }
        try await admin.createTopic("t")
        try await fill(address, "t", partitions: 1, count: 100)
        let name = TopicPartition("t", 0)
        var configuration = Consumer.Configuration()
        configuration.groupID = "hand"
        configuration.autoCommit = false
        let first = try await Consumer(topic: "t", broker: address, configuration: configuration)
        let batches = try #require(try await first.next())
        try await first.commit()
        #expect(try await first.committed() == [name: batches.nextOffset])
        try await first.commit([name: 7])
        await #expect(throws: ClientError.self) { try await first.commit([name: -1]) }
        let meddler = await #expect(throws: ClientError.self) { try await admin.setGroupOffsets("hand", [name: 0]) }
        #expect(meddler?.broker == .unknownMemberID)
        batches.release()
        first.close()
        let second = try await Consumer(topic: "t", broker: address, configuration: configuration)
        #expect(try await second.next()?.firstOffset == 7)
        second.close()
        // Not a member: it names its partitions, and commits for the group.
        let outside = try await Consumer(assignment: [name: .offset(50)], broker: address, configuration: configuration)
        _ = try await outside.next()
        try await outside.commit([name: 60])
        outside.close()
        #expect(try await admin.groupOffsets("hand") == [name: 60])
        try await admin.setGroupOffsets("hand", [name: 3])
        #expect(try await admin.groupOffsets("hand") == [name: 3])
        try await admin.deleteGroup("hand")
        #expect(try await admin.listGroups().isEmpty)
    }

    /// A second member of the same name takes the first one's place, and the first one ends.
    @Test func aStaticMemberIsFenced() async throws {
        let broker = try TestBroker(options: Self.options)
        let address = try broker.address
        let admin = Admin(broker: address)
        defer { admin.close() }
        try await admin.createTopic("t", partitions: 2)
        let first = try await GroupReader(["t"], group: "static", broker: address) { $0.instanceID = "one" }
        try await waitFor("the first has all") { first.assignment.count == 2 }
        let second = try await GroupReader(["t"], group: "static", broker: address) { $0.instanceID = "one" }
        try await waitFor("the second has all") { second.assignment.count == 2 }
        try await waitFor("the first is fenced") {
            do {
                try first.check()
                return false
            } catch let error as ClientError {
                #expect(error.broker == .fencedInstanceID)
                return true
            }
        }
        second.consumer.close()
        // It may come back: nobody else was given its partitions.
        #expect(try await admin.describeGroup("static").members.first?.assignment.count == 2)
        #expect(broker.stop() == 0)
    }

    /// Partitions that are added, and topics that appear, are found by the leader.
    @Test func newPartitionsAreRead() async throws {
        let broker = try TestBroker(options: Self.options)
        let address = try broker.address
        let admin = Admin(broker: address)
        defer { admin.close() }
        try await admin.createTopic("t", partitions: 1)
        let reader = try await GroupReader(["t", "later"], group: "g", broker: address) {
            $0.metadataMaxAgeMilliseconds = 100
        }
        try await waitFor("the one there is") { reader.assignment.count == 1 }
        try await admin.createTopic("later", partitions: 3)
        try await fill(address, "later", partitions: 3, count: 10)
        try await waitFor("the new topic") { reader.count == 30 }
        #expect(reader.assignment.count == 4)
        try await admin.deleteTopic("later")
        try await waitFor("it is gone") {
            try reader.check()
            return reader.assignment.count == 1
        }
        reader.consumer.close()
        #expect(broker.stop() == 0)
    }

    @Test func theCommand() async throws {
        let broker = try TestBroker(options: Self.options)
        #expect(try broker.rdmad(["topic", "create", "t", "--partitions", "2"]).status == 0)
        #expect(try broker.rdmad(["produce", "t"], input: "a\nb\nc\nd\n").status == 0)
        let read = try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end", "--json"])
        #expect(read.status == 0, "\(read.error)")
        let lines = try read.output.split(separator: "\n").map { line in
            try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
        }
        #expect(Set(lines.compactMap { $0["value"] as? String }) == ["a", "b", "c", "d"])
        #expect(try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end"]).output == "")
        #expect(try broker.rdmad(["group", "list"]).output == "GROUP  STATE\ng      Empty\n")
        #expect(
            try broker.rdmad(["group", "list", "--json"]).output
                == #"[{"group":"g","state":"Empty","protocolType":"consumer"}]"# + "\n")
        let described = try broker.rdmad(["group", "describe", "g", "--json"]).output
        let group = try #require(try JSONSerialization.jsonObject(with: Data(described.utf8)) as? [String: Any])
        let partitions = try #require(group["partitions"] as? [[String: Any]])
        #expect(partitions.count == 2)
        #expect(partitions.allSatisfy { $0["lag"] as? Int == 0 })
        #expect(partitions.reduce(0) { $0 + ($1["committedOffset"] as? Int ?? 0) } == 4)
        let reset = ["group", "reset-offsets", "g", "--topic", "t"]
        let dry = try broker.rdmad(reset + ["--to-earliest"])
        #expect(dry.output.contains("nothing was changed"))
        let planned = try broker.rdmad(reset + ["--to-earliest", "--json"]).output
        #expect(planned.contains("\"executed\":false") && !planned.contains("true"), "\(planned)")
        #expect(try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end"]).output == "")
        #expect(try broker.rdmad(reset + ["--to-earliest", "--execute"]).status == 0)
        // Ended in the middle of a batch: the rest comes next.
        let some = try broker.rdmad(["consume", "t", "--group", "g", "--count", "1"]).output
        let rest = try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end"]).output
        #expect((some + rest).count == 8)
        #expect(Set((some + rest).split(separator: "\n")) == ["a", "b", "c", "d"])
        let far = try broker.rdmad(reset + ["--to-offset", "1000", "--execute", "--json"])
        #expect(far.output.contains("\"newOffset\":") && !far.output.contains("1000"))
        #expect(far.output.contains("\"executed\":true") && !far.output.contains("false"), "\(far)")
        #expect(try broker.rdmad(reset + ["--shift-by", "-1", "--execute"]).status == 0)
        // One record of each partition that has any.
        #expect([2, 4].contains(try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end"]).output.count))
        #expect(try broker.rdmad(reset + ["--to-datetime", "1999-01-01"]).status == 64)
        #expect(try broker.rdmad(reset + ["--to-datetime", "1969-01-01T00:00:00Z", "--execute"]).status == 64)
        #expect(try broker.rdmad(reset + ["--to-datetime", "2001-01-01T00:00:00.5Z", "--execute"]).status == 0)
        #expect(try broker.rdmad(["consume", "t", "--group", "g", "--exit-at-end"]).output.count == 8)
        #expect(
            try broker.rdmad(["consume", "t", "--timestamp", "2001-01-01T00:00:00Z", "--exit-at-end"]).output.count == 8
        )
        #expect(try broker.rdmad(["consume", "t", "--timestamp", "9000000000000", "--exit-at-end"]).output == "")
        let member = try MemberProcess(broker, topic: "t", group: "g", name: "member")
        try await waitFor("a member") { try broker.rdmad(["group", "list"]).output.contains("Stable") }
        let busy = try broker.rdmad(reset + ["--to-earliest", "--execute"])
        #expect(busy.status == 1)
        #expect(busy.error.contains("while it has no members"))
        #expect(try broker.rdmad(["group", "delete", "g"]).error.contains("NON_EMPTY_GROUP"))
        member.child.signal(SIGTERM)
        #expect(member.child.wait() == 0)
        #expect(try broker.rdmad(["group", "delete", "g"]).output == "deleted group g\n")
        #expect(try broker.rdmad(["group", "describe", "g"]).error.contains("GROUP_ID_NOT_FOUND"))
        #expect(try broker.rdmad(["consume", "t", "--group", "g", "--partition", "0"]).status == 64)
        #expect(broker.stop() == 0)
    }

    /// 8 producers, 2 groups of 4, 16 partitions; one is killed every second, one is stopped for twice its session.
    @Test func chaosOfClients() throws {
        let broker = try TestBroker(options: Self.options + ["--flush", "group"])
        let seed = UInt64.random(in: 0...UInt64(Int64.max))
        try chaos(broker, seconds: Self.isLong ? 240 : 25, seed: seed)
        #expect(broker.stop() == 0)
    }
}
