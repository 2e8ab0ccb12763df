import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// Stops the process, so to speak, before its Nth call that changes the data directory, for every N.
@Suite struct CutTests {
    /// Runs `body` on fresh directories, cut before call 0, 1, 2… until it is not cut any more.
    ///
    /// - Parameter single: fail only that one call, and let the process live on; otherwise every call from it on fails,
    ///   as when it had died there.
    static func cutEverywhere(
        single: Bool = false, prepare: (LogDirectory) throws -> Void, _ body: @Sendable (LogDirectory) throws -> Void,
        check: (_ path: String, _ cut: Int, _ survivor: LogDirectory?, _ failed: Bool) throws -> Void
    ) throws -> Int {
        for cut in 0..<1000 {
            let directory = TemporaryDirectory()
            let path = directory.child("data")
            let data = try openDirectory(path)
            try prepare(data)
            let calls = Counter()
            var failed = false
            FaultPlan.$current.withValue({ _, _ in
                let call = calls.next()
                return call == cut || (call > cut && !single) ? EIO : 0
            }) {
                do { try body(data) } catch { failed = true }
            }
            if single {
                try check(path, cut, data, failed)
            } else {
                data.dropLock()
                try check(path, cut, nil, failed)
            }
            if calls.now <= cut { return cut }
        }
        throw LogReadFailed()
    }

    static func fill(_ data: LogDirectory) throws {
        try data.createTopic(name: "keep", partitions: 2)
        data.partition(topic: "keep", index: 1)!.append(records: 3)
        try data.createTopic(name: "t", partitions: 3)
        for index in 0..<3 { data.partition(topic: "t", index: index)!.append(records: 7) }
        for index in 0..<3 { try data.partition(topic: "t", index: index)!.synchronize() }
        try data.writeRecoveryPoints()
    }

    /// What must hold after any stop: it starts, `keep` is whole, and `t` is whole or gone, for good.
    static func checkStart(_ path: String, _ cut: Int, recordsOfT: Int64) throws -> Bool {
        var data = try openDirectory(path)
        let survived = data.topics.contains("t")
        #expect(data.topics == (survived ? ["keep", "t"] : ["keep"]), "cut \(cut)")
        #expect(data.recoveryReport.fences.isEmpty, "cut \(cut)")
        #expect(data.partition(topic: "keep", index: 1)!.logEndOffset == Offset(3))
        if survived {
            #expect(data.partitionCount(topic: "t") == 3)
            for index in 0..<3 {
                #expect(data.partition(topic: "t", index: index)!.logEndOffset == Offset(recordsOfT), "cut \(cut)")
            }
            try data.deleteTopic(name: "t")
        }
        #expect(try !system.names(in: path).contains { $0.hasSuffix(".delete") }, "cut \(cut)")
        // The name is free, and what comes under it is new.
        try data.createTopic(name: "t", partitions: 2)
        #expect(data.partition(topic: "t", index: 0)!.append() == appended(0, 0))
        try data.close()
        data = try openDirectory(path)
        #expect(data.topics == ["keep", "t"], "cut \(cut)")
        #expect(data.partition(topic: "t", index: 0)!.logEndOffset == Offset(1), "cut \(cut)")
        return survived
    }

    @Test func deleteCutAtEveryCall() throws {
        var outcomes: Set<Bool> = []
        let calls = try Self.cutEverywhere(prepare: Self.fill) {
            try $0.deleteTopic(name: "t")
        } check: { path, cut, _, _ in
            outcomes.insert(try Self.checkStart(path, cut, recordsOfT: 7))
        }
        #expect(calls >= 18 && outcomes == [true, false])
    }

    @Test func createCutAtEveryCall() throws {
        var outcomes: Set<Bool> = []
        let calls = try Self.cutEverywhere { data in
            try data.createTopic(name: "keep", partitions: 2)
            data.partition(topic: "keep", index: 1)!.append(records: 3)
        } _: {
            try $0.createTopic(name: "t", partitions: 3)
        } check: { path, cut, _, _ in
            outcomes.insert(try Self.checkStart(path, cut, recordsOfT: 0))
        }
        #expect(calls >= 15 && outcomes == [true, false])
    }

    /// A delete whose start-up completion is cut again, at every call.
    @Test func recoveryOfADeleteCutAtEveryCall() throws {
        for cut in 0..<1000 {
            let directory = TemporaryDirectory()
            let path = directory.child("data")
            let data = try openDirectory(path)
            try Self.fill(data)
            data.dropLock()
            try system.rename(path + "/t-1", to: path + "/t-1.delete")
            let calls = Counter()
            FaultPlan.$current.withValue({ _, _ in calls.next() >= cut ? EIO : 0 }) {
                if let opened = try? openDirectory(path) { opened.dropLock() }
            }
            #expect(try !Self.checkStart(path, cut, recordsOfT: 7), "half a topic came back, cut \(cut)")
            if calls.now <= cut { return }
        }
        Issue.record("never finished")
    }

    enum Afterwards: CaseIterable { case recreate, otherWorkThenRecreate, otherWorkThenDie }

    /// One call fails and the process lives on: whatever it does next, a restart agrees with it.
    @Test(arguments: Afterwards.allCases) func deleteFailsOnceAtEveryCall(_ afterwards: Afterwards) throws {
        _ = try Self.cutEverywhere(single: true, prepare: Self.fill) {
            try $0.deleteTopic(name: "t")
        } check: { path, cut, survivor, failed in
            let data = survivor!
            #expect(data.topics == ["keep"], "cut \(cut)")
            if afterwards != .recreate {
                // Must not forget the unfinished delete.
                try data.createTopic(name: "other", partitions: 1)
                try data.deleteTopic(name: "other")
            }
            if afterwards == .otherWorkThenDie {
                data.dropLock()
                let next = try openDirectory(path)
                #expect(next.recoveryReport.orphans.isEmpty, "directories of t are nobody's, cut \(cut)")
                next.dropLock()
                _ = try Self.checkStart(path, cut, recordsOfT: 7)
                return
            }
            try data.createTopic(name: "t", partitions: 3)
            for index in 0..<3 { #expect(data.partition(topic: "t", index: index)!.logEndOffset == .zero) }
            data.dropLock()
            _ = try Self.checkStart(path, cut, recordsOfT: 0)
        }
    }

    @Test(arguments: [true, false]) func createFailsOnceAtEveryCall(_ retries: Bool) throws {
        _ = try Self.cutEverywhere(single: true) { data in
            try data.createTopic(name: "keep", partitions: 2)
            data.partition(topic: "keep", index: 1)!.append(records: 3)
        } _: {
            try $0.createTopic(name: "t", partitions: 3)
        } check: { path, cut, survivor, failed in
            let data = survivor!
            if failed && retries { try data.createTopic(name: "t", partitions: 3) }
            data.dropLock()
            _ = try Self.checkStart(path, cut, recordsOfT: 0)
        }
    }
}

extension LogDirectory {
    /// What the kernel does when the process dies.
    func dropLock() { releaseLock() }
}
