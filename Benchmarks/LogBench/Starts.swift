import Glibc
import RecordFormat
import TopicLog

/// A data directory to be opened again and again.
struct Start {
    let path: String

    /// MB/s of recovering one partition of so many MiB that was never closed, and of a loop that reads the same files
    /// in pieces of the same size and checks them. Both from the disk: either drops the files from the cache first.
    static func recovery(_ place: Place, mebibytes: Int, rounds: Int) throws {
        try place.fresh { path in
            let start = Start(path: path)
            try start.fill(partitions: 1, batches: mebibytes * 16)
            for round in 0..<rounds {
                let own = { () throws -> Double in
                    // Without it nothing is known to be durable.
                    unsafe unlink(path + "/recovery-point-offset-checkpoint")
                    let begin = seconds()
                    let directory = try LogDirectory.open(path: path)
                    let bytes = directory.recoveryReport.partitions[0].recovery.bytesChecked
                    return Double(bytes) / (seconds() - begin) / 1e6
                }
                if round % 2 == 0 {
                    let first = try own()
                    print(first, start.check())
                } else {
                    let first = start.check()
                    print(try own(), first)
                }
            }
        }
    }

    /// Milliseconds of opening a directory of so many partitions that was closed in order, and of asking for the size
    /// of each of their files and opening it.
    static func open(_ place: Place, partitions: Int, rounds: Int) throws {
        try place.fresh { path in
            let start = Start(path: path)
            try start.fill(partitions: partitions, batches: partitions)
            let files = start.files()
            // In a process that has done nothing else.
            _ = unsafe system("'\(CommandLine.arguments[0])' idle '\(path)' 1>&2")
            for round in 0..<rounds {
                let own = { () throws -> Double in
                    let begin = seconds()
                    let directory = try LogDirectory.open(path: path)
                    let took = seconds() - begin
                    guard directory.recoveryReport.recordCount == partitions else {
                        throw Failure("records are missing")
                    }
                    try directory.close()
                    return took * 1e3
                }
                if round % 2 == 0 {
                    let first = try own()
                    print(first, touch(files))
                } else {
                    let first = touch(files)
                    print(try own(), first)
                }
            }
        }
    }

    /// What an open data directory takes of memory, by partition.
    static func idle(_ path: String) throws {
        let before = residentBytes()
        let directory = try LogDirectory.open(path: path)
        let grown = residentBytes() - before
        let count = directory.recoveryReport.partitions.count
        print("\(grown / max(1, count)) bytes of memory for each of \(count) idle partitions")
        try directory.close()
    }

    /// Topics of at most 1000 partitions with batches of one record (or 64 for a single partition), by turns.
    private func fill(partitions: Int, batches: Int) throws {
        let directory = try LogDirectory.open(path: path)
        let source = Batches(count: 16, records: partitions == 1 ? 64 : 1)
        var logs: [PartitionLog] = []
        for first in stride(from: 0, to: partitions, by: 1000) {
            let count = min(1000, partitions - first)
            try directory.createTopic(name: "bench-\(first)", partitions: count)
            logs += (0..<count).map { directory.partition(topic: "bench-\(first)", index: $0)! }
        }
        for number in 0..<batches {
            guard case .appended = unsafe logs[number % partitions].append([source.all[number % 16]])[0] else {
                throw Failure("an append was refused")
            }
        }
        if partitions > 1 { try directory.close() } else { try logs[0].synchronize() }
    }

    /// Every file of every partition.
    private func files() -> [[CChar]] {
        var paths: [[CChar]] = []
        for directory in names(path) where directory.hasPrefix("bench-") {
            for name in names(path + "/" + directory) {
                paths.append(Array("\(path)/\(directory)/\(name)".utf8CString))
            }
        }
        return paths
    }

    private func names(_ directory: String) -> [String] {
        var names: [String] = []
        _ = SystemStorage().names(in: directory) { names.append($0) }
        return names
    }

    private func check() -> Double {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 4096)
        defer { unsafe buffer.deallocate() }
        let storage = SystemStorage()
        let begin = seconds()
        var bytes = 0
        for name in names(path + "/bench-0-0") where name.hasSuffix(".log") {
            let file = storage.open("\(path)/bench-0-0/\(name)", O_RDWR)
            _ = storage.synchronize(file)
            storage.dropCache(of: file)
            var sum: UInt32 = 0
            var position: Int64 = 0
            while case let count = unsafe storage.read(file, into: buffer, at: position), count > 0 {
                sum = unsafe CRC32C.extend(sum, with: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                position += Int64(count)
            }
            bytes += Int(position)
            storage.close(file)
        }
        return Double(bytes) / (seconds() - begin) / 1e6
    }
}

private func touch(_ files: [[CChar]]) -> Double {
    let begin = seconds()
    for path in files {
        var status = stat()
        unsafe path.withUnsafeBufferPointer { path in
            guard unsafe stat(path.baseAddress!, &status) == 0 else { fatal("a file is missing\n") }
        }
        let descriptor = unsafe path.withUnsafeBufferPointer {
            unsafe Glibc.open($0.baseAddress!, O_RDONLY | O_CLOEXEC)
        }
        guard descriptor >= 0 else { fatal("a file cannot be opened\n") }
        close(descriptor)
    }
    return (seconds() - begin) * 1e3
}

private func residentBytes() -> Int {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return usage.ru_maxrss * 1024
}
