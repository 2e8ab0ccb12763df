import Foundation
import RdmadClient
import TransportTestSupport

/// The log at the end, beside what everybody wrote down.
struct ChaosCheck {
    private let directory: String
    private let seed: UInt64
    /// Of each partition by offset: who wrote it, and which of its numbers.
    private var log = [[(name: String, number: Int)]](repeating: [], count: Chaos.partitions)
    var recordCount: Int { log.reduce(0) { $0 + $1.count } }

    init(broker: BrokerAddress, directory: String, seed: UInt64) async throws {
        self.directory = directory
        self.seed = seed
        let admin = Admin(broker: broker)
        defer { admin.close() }
        let ends = try await admin.describeTopic(Chaos.topic).map(\.endOffset)
        let consumer = try await Consumer(topic: Chaos.topic, broker: broker)
        defer { consumer.close() }
        while zip(log, ends).contains(where: { $0.count < Int($1) }) {
            guard let batches = try await consumer.next() else { throw ScenarioFailure("the reader was closed") }
            try batches.forEachRecord { record in
                let value = unsafe Array(record.value!)
                let words = String(decoding: value.prefix(64), as: UTF8.self).split(separator: " ")
                let (name, number) = (String(words[0]), Int(words[1])!)
                try expect(
                    record.offset == log[batches.partition].count && value == Chaos.value(name, number),
                    "offset \(record.offset) of partition \(batches.partition) is out of place; seed \(seed)")
                log[batches.partition].append((name, number))
            }
            batches.release()
        }
    }

    /// Of each producer every partition holds numbers from 0, each once, in order; what was acknowledged is where the
    /// broker said.
    func producers(_ names: [String]) throws {
        for (partition, records) in log.enumerated() {
            var next: [String: Int] = [:]
            for record in records {
                let expected = next[record.name, default: 0]
                try expect(
                    record.number == expected,
                    "partition \(partition): \(record.name) \(record.number) where \(expected) should be; seed \(seed)")
                next[record.name] = expected + 1
            }
        }
        var acknowledged = 0
        for (name, lines) in try histories(names) {
            for line in lines {
                try expect(line[0] == "ack", "producer \(name): \(line.joined(separator: " ")); seed \(seed)")
                let (partition, first, count) = (Int(line[1])!, Int(line[2])!, Int(line[3])!)
                for offset in first..<first + count {
                    try expect(
                        offset < log[partition].count && log[partition][offset].name == name,
                        "\(name)'s record at \(partition)/\(offset) was acknowledged and is not there; seed \(seed)")
                }
                acknowledged += count
            }
        }
        try expect(acknowledged > 0 && acknowledged <= recordCount, "\(acknowledged) acknowledged; seed \(seed)")
    }

    /// The members of a group have read everything; each without a gap from assignment to loss.
    /// - Returns: how often a record was read, on average.
    func group(_ names: [String], _ group: String) throws -> Double {
        var isRead = log.map { [Bool](repeating: false, count: $0.count) }
        var total = 0
        for (name, lines) in try histories(names) {
            var next: [Int: Int] = [:]
            for line in lines {
                guard line[0] == "read" else {
                    for partition in line.dropFirst() { next[Int(partition)!] = nil }
                    continue
                }
                let (partition, first, end) = (Int(line[1])!, Int(line[2])!, Int(line[3])!)
                try expect(
                    next[partition] ?? first == first && end <= isRead[partition].count,
                    "\(name) read \(partition)/\(first) after \(next[partition] ?? -1); seed \(seed)")
                next[partition] = end
                for offset in first..<end { isRead[partition][offset] = true }
                total += end - first
            }
        }
        for (partition, offsets) in isRead.enumerated() {
            if let missed = offsets.firstIndex(of: false) {
                throw ScenarioFailure("group \(group) never read \(partition)/\(missed); seed \(seed)")
            }
        }
        return (Double(total) / Double(max(1, recordCount)) * 100).rounded() / 100
    }

    /// The check checked: a log that was tampered with must not pass.
    func control(_ producers: [String], _ members: [String], _ group: String) throws {
        func mustThrow(_ what: String, _ change: (inout ChaosCheck) -> Void) throws {
            var copy = self
            change(&copy)
            do {
                try copy.producers(producers)
                _ = try copy.group(members, group)
            } catch { return }
            throw ScenarioFailure("the check does not see \(what)")
        }
        let partition = log.indices.max { log[$0].count < log[$1].count }!
        let middle = log[partition].count / 2
        try mustThrow("a lost record") { $0.log[partition].remove(at: middle) }
        try mustThrow("the loss of the last record") { $0.log[partition].removeLast() }
        try mustThrow("a record twice") { $0.log[partition].insert($0.log[partition][middle], at: middle) }
        try mustThrow("a record that nobody read") { $0.log[partition].append(("nobody", 0)) }
    }

    /// What each incarnation of these wrote down.
    private func histories(_ names: [String]) throws -> [(name: String, lines: [[String]])] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
            .filter { file in names.contains { file.hasPrefix($0 + ".") } }
            .map { ($0, try History.read("\(directory)/\($0)")) }
    }
}
