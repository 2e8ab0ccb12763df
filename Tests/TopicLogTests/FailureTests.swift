import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// A disk that is full, slow to admit it, or broken.
@Suite struct FailureTests {
    let directory = TemporaryDirectory()

    /// Writes `bytes` of what is asked, then fails with `errno` until told otherwise.
    static func failing(_ fault: Counter, errno number: Int32, after bytes: Int) -> PlannedStorage {
        var storage = PlannedStorage()
        let real = storage.real
        unsafe storage.writeVector = { descriptor, vectors, position in
            switch fault.now {
            case 0: return unsafe real.write(descriptor, vectors, at: position)
            case 1 where bytes > 0:
                fault.set(2)
                var left = bytes
                var some: [iovec] = unsafe []
                // The formatter would join the next line's two words.
                // swift-format-ignore
                for unsafe vector in unsafe vectors where left > 0 {
                    unsafe some.append(iovec(iov_base: vector.iov_base, iov_len: min(left, vector.iov_len)))
                    left -= unsafe some.last!.iov_len
                }
                return unsafe some.withUnsafeBufferPointer { unsafe real.write(descriptor, $0, at: position) }
            default: return -Int(number)
            }
        }
        return storage
    }

    @Test(arguments: [ENOSPC, EIO, EDQUOT], [0, 1, 100, 150])
    func failedWriteIsUndone(_ number: Int32, _ partial: Int) throws {
        let fault = Counter()
        let log = try openLog(directory, storage: Self.failing(fault, errno: number, after: partial))
        #expect(log.append(producer: 1, sequence: 0) == appended(0, 0))
        let good = readFile(firstSegment(directory))
        fault.set(1)
        let results = log.append([
            Batch(producerID: 1, epoch: 0, sequence: 1), Batch(producerID: 1, epoch: 0, sequence: 0),
            Batch(producerID: 1, epoch: 0, sequence: 1), Batch(producerID: 2, epoch: 0, sequence: 0), Batch(),
        ])
        let code: LogError.Code = number == EIO ? .system : .noSpace
        // Only the duplicate of what is in the file stands.
        #expect(results.map(\.storageCode) == [code, nil, code, code, code])
        #expect(results[1] == duplicate(0, 0))
        #expect(log.logEndOffset == Offset(1) && log.poison == nil)
        #expect(readFile(firstSegment(directory)) == good, "the segment was not cut back")
        fault.set(0)
        #expect(log.append(producer: 1, sequence: 2) == .rejected(.outOfOrderSequence), "sequence 1 was never stored")
        #expect(log.append(producer: 1, sequence: 1) == appended(1, 1))
        // Nor must a new producer's second batch overtake its first, which could never follow.
        #expect(log.append(producer: 2, sequence: 1) == .rejected(.outOfOrderSequence))
        #expect(log.append(producer: 2, sequence: 0) == appended(2, 2))
        #expect(try openLog(directory).logEndOffset == Offset(3))
    }

    @Test func shortAndInterruptedWritesGoOn() throws {
        let calls = Counter()
        var storage = PlannedStorage()
        let real = storage.real
        unsafe storage.writeVector = { descriptor, vectors, position in
            if calls.next() % 3 == 1 { return -Int(EINTR) }
            // One vector at a time, and not all of a long one.
            var one = unsafe vectors[0]
            unsafe one.iov_len = unsafe min(one.iov_len, 50)
            return unsafe withUnsafePointer(to: &one) {
                unsafe real.write(descriptor, UnsafeBufferPointer(start: $0, count: 1), at: position)
            }
        }
        let log = try openLog(directory, storage: storage)
        #expect(log.append((0..<20).map { Batch(valueBytes: $0) }).last == appended(19, 19))
        #expect(calls.now == log.statistics.writeCalls)
        var reader = TestReader(0)
        #expect(try reader.rest(log).bases == Array(0..<20))
    }

    @Test func failedTruncatePoisons() throws {
        let fault = Counter()
        var storage = Self.failing(fault, errno: ENOSPC, after: 10)
        storage.truncate = { _, _ in -EIO }
        let log = try openLog(directory, storage: storage)
        log.append()
        fault.set(1)
        #expect(log.append().storageCode == .noSpace)
        fault.set(0)
        #expect(log.append().storageCode == .poisoned)
        #expect(log.takeFlushTicket() == nil)
        try log.close()
        let again = try openLog(directory)
        #expect(again.logEndOffset == Offset(1) && again.recovery.tornBytes == 10)
        #expect(again.append() == appended(1, 1))
    }

    @Test func failedSyncPoisons() throws {
        let log = try openLog(directory)
        log.append()
        let first = try #require(log.takeFlushTicket())
        #expect(log.takeFlushTicket() == nil, "a ticket that covers everything is out")
        log.append()
        let second = try #require(log.takeFlushTicket())
        log.didFlush(first, error: LogError(errno: EIO, "syncing", first.files[0].path))
        log.didFlush(second, error: nil)
        #expect(log.durableOffset == .zero, "a success after a failure means nothing")
        #expect(log.append().storageCode == .poisoned)
        #expect(log.poison?.errno == EIO)
        #expect(throws: LogError.self) { try log.synchronize() }
        #expect(try openLog(directory).append() == appended(2, 2))
    }

    @Test func ticketsCoverRolledSegments() throws {
        let size = Batch().size
        let log = try openLog(directory, options(segmentBytes: 2 * size))
        for _ in 0..<5 { log.append() }
        let first = try #require(log.takeFlushTicket())
        #expect(first.files.count == 3 && first.end == Offset(5))
        for _ in 0..<2 { log.append() }
        let second = try #require(log.takeFlushTicket())
        #expect(second.files.count == 4, "what the first covers is not known to be durable yet")
        log.didFlush(first, error: nil)
        #expect(log.durableOffset == Offset(5) && log.volume.isRecoveryPointStale)
        log.didFlush(second, error: nil)
        #expect(log.durableOffset == Offset(7))
        log.append()
        #expect(try #require(log.takeFlushTicket()).files.count <= 2)
    }

    /// A roll that cannot create its file is refused and works again later.
    @Test func failedRoll() throws {
        let log = try openLog(directory, options(segmentBytes: Batch().size))
        log.append()
        FaultPlan.$current.withValue({ operation, _ in operation == "creating" ? ENOSPC : 0 }) {
            #expect(log.append([Batch(), Batch()]).map(\.storageCode) == [.noSpace, .noSpace])
        }
        #expect(log.append() == appended(1, 1))
        // When only the directory's sync fails, nobody knows whether the file will be there.
        FaultPlan.$current.withValue({ operation, _ in operation == "syncing directory" ? EIO : 0 }) {
            #expect(log.append().storageCode == .system)
        }
        #expect(log.append().storageCode == .poisoned)
        #expect(try openLog(directory).append() == appended(2, 2))
    }

    /// What comes behind a batch that found no segment does not slip into the room that is left.
    @Test(arguments: ["creating", "syncing directory"]) func failedRollEndsTheCall(_ failing: String) throws {
        let log = try openLog(directory, options(segmentBytes: 2 * Batch().size))
        log.append()
        FaultPlan.$current.withValue({ operation, _ in operation == failing ? ENOSPC : 0 }) {
            let codes = log.append([Batch(valueBytes: 500), Batch()]).map(\.storageCode)
            #expect(codes == [.noSpace, .noSpace])
        }
        #expect(log.logEndOffset == Offset(1) && log.statistics.writeCalls == 1)
    }

    /// The real thing: a file system that is full, then has space again.
    @Test func realFullDisk() throws {
        let mounted = unsafe mount("none", directory.path, "tmpfs", 0, "size=256k") == 0
        try #require(mounted || getuid() != 0, "root can mount a tmpfs")
        guard mounted else { return }
        defer { unsafe umount2(directory.path, 2 /* MNT_DETACH */) }
        let log = try openLog(directory)
        let ballast = directory.child("ballast")
        writeFile(ballast, [UInt8](repeating: 1, count: 100_000))
        var stored: Int64 = 0
        var refused: LogError?
        while refused == nil {
            switch log.append(producer: 1, sequence: Int32(stored), records: 200) {
            case .appended: stored += 200
            case .rejected(.storage(let error)): refused = error
            case let other:
                Issue.record("\(other)")
                return
            }
        }
        let text = try #require(refused).description
        #expect(refused?.code == .noSpace)
        #expect(text.hasPrefix("no space left on /") && text.contains("free space or delete topics"), "\(text)")
        #expect(stored > 0 && log.logEndOffset == Offset(stored))
        try system.remove(ballast)
        #expect(log.append(producer: 1, sequence: Int32(stored), records: 200) == appended(stored, stored + 199))
        try log.synchronize()
        try log.close()
        let again = try openLog(directory, bound: stored)
        #expect(again.fence == nil && again.recovery.tornBytes == 0 && again.logEndOffset == Offset(stored + 200))
    }

    @Test func errorsSayWhatToDo() {
        let full = LogError(errno: ENOSPC, "append of 65536 bytes to", "/data/flights-0/00000000000000000000.log")
        #expect(
            full.description == "no space left on /data: append of 65536 bytes to "
                + "flights-0/00000000000000000000.log refused; free space or delete topics, producers may retry")
        let broken = LogError(errno: EIO, "syncing", "/data/flights-0/0.log")
        #expect(broken.description == "syncing /data/flights-0/0.log failed: Input/output error")
    }
}
