import Glibc
import RecordFormat
import Testing

@testable import TopicLog

/// Many partitions, several threads.
@Suite struct RecoveryCrewTests {
    let directory = TemporaryDirectory()
    var path: String { directory.child("data") }
    var crew: LogOptions {
        var options = options(segmentBytes: 3 * Batch().size)
        options.recoveryThreads = 4
        return options
    }

    /// A topic of 20 partitions, the one with number n holding n records; then the process dies.
    func fill() throws {
        let data = try LogDirectory.open(path: path, options: crew)
        try data.createTopic(name: "t", partitions: 20)
        for index in 0..<20 {
            for _ in 0..<index { data.partition(topic: "t", index: index)!.append() }
        }
        data.dropLock()
    }

    @Test func recoversEveryPartition() throws {
        try fill()
        let progress = RecoveryProgress()
        let data = try LogDirectory.open(path: path, options: crew, progress: progress)
        #expect(data.recoveryReport.partitions.map(\.partition) == Array(0..<20))
        for index in 0..<20 {
            let log = data.partition(topic: "t", index: index)!
            #expect(log.logEndOffset == Offset(Int64(index)))
            #expect(log.append() == appended(Int64(index), Int64(index)))
        }
        #expect(progress.partitionsDone == 20 && progress.partitionsTotal == 20)
        #expect(progress.bytesTotal == Int64(190 * Batch().size) && progress.bytesDone == progress.bytesTotal)
        try data.close()
        let closed = RecoveryProgress()
        _ = try LogDirectory.open(path: path, options: crew, progress: closed)
        #expect(closed.bytesTotal == 0 && closed.partitionsDone == 20)
    }

    /// Whichever thread is first: the error is the first partition's.
    @Test func reportsTheFirstError() throws {
        try fill()
        for _ in 0..<20 {
            var storage = PlannedStorage()
            let plain = storage
            storage.synchronize = { descriptor in
                let path = plain.path(descriptor)
                return path.contains("/t-7/") || path.contains("/t-12/") ? -EIO : plain.real.synchronize(descriptor)
            }
            let error = #expect(throws: LogError.self) {
                _ = try LogDirectory.open(path: path, options: crew, storage: storage)
            }
            #expect(error?.path.contains("/t-7/") == true)
        }
        #expect(try LogDirectory.open(path: path, options: crew).recoveryReport.recordCount == 190)
    }
}
