import Glibc
import RecordFormat
import TopicLog

extension ModelRun {
    func deleteRecords() throws {
        let before = model.start + Int64(numbers.below(Int(model.end - model.start) + 1))
        // In the main a little: or nothing would ever grow old.
        let target = numbers.isOne(in: 4) ? before : min(before, model.start + 5)
        let start = try directory!.deleteRecords(topic: "t", partition: 0, before: Offset(target)).start
        if target > model.durable && target > model.start { model.durable = model.end }
        try expect(start.rawValue == max(model.start, target), "delete records before \(target) gave \(start)")
        if target > model.start { model.moveStart(to: target) }
        try expect(log.logStartOffset.rawValue == model.start, "the beginning after delete records")
    }

    func deleteExpired() throws {
        now += Int64(numbers.below(500))
        let before = model.records
        _ = try directory!.deleteExpired(nowMilliseconds: now)
        let start = log.logStartOffset.rawValue
        try expect(start >= model.start && start <= model.durable, "retention moved the beginning to \(start)")
        if start > model.start {
            try expect(options.cleanupPolicy.contains(.delete), "retention without the policy")
            let isByAge = options.retentionMilliseconds >= 0
            let young = before.contains {
                $0.offset < start && (!isByAge || $0.timestamp >= now - options.retentionMilliseconds)
            }
            let isBySize = options.retentionBytes >= 0 && log.sizeInBytes >= options.retentionBytes
            try expect(!young || isBySize, "retention deleted what is neither old nor too much")
            model.moveStart(to: start)
        }
        guard options.cleanupPolicy.contains(.delete), options.retentionMilliseconds >= 0 else { return }
        // What is old and durable is gone after a second look: the first may have had to close the segment.
        let limit = now - options.retentionMilliseconds
        guard model.durable == model.end, model.records.allSatisfy({ $0.timestamp < limit }), !model.records.isEmpty
        else { return }
        _ = try directory!.deleteExpired(nowMilliseconds: now)
        try expect(log.logStartOffset.rawValue == model.end, "all is old, and not all is deleted")
        model.moveStart(to: model.end)
    }

    /// A pass, of which only the first segments may be put in place before something comes between.
    func compact() throws {
        guard let compaction = log.beginCompaction(nowMilliseconds: now) else { return }
        var made: [CompactedSegment] = []
        let cleaned = try compaction.run { made.append($0) }.rawValue
        let lastOfKey = model.lastOfKey(below: cleaned)
        let installMax = numbers.isOne(in: 4) ? numbers.below(made.count + 1) : made.count
        if numbers.isOne(in: 10) { try deleteRecords() }
        for segment in made.prefix(installMax) {
            let range = segment.range.lowerBound.rawValue..<segment.range.upperBound.rawValue
            guard try log.install(segment) else {
                try expect(range.lowerBound < model.start, "a compacted segment was refused")
                break
            }
            model.compact(
                range, cleaned: cleaned, lastOfKey: lastOfKey, now: now, keep: options.deleteRetentionMilliseconds)
        }
        if installMax < made.count {
            try crash()
        } else {
            log.finishCompaction()
        }
        if numbers.isOne(in: 4) { try readAll() }
    }

    /// The process ends; what was never synced may be torn.
    func crash() throws {
        let place = directory!.path + "/t-0"
        directory = nil
        if numbers.isOne(in: 2) { try tear(place) }
        try reopen()
        if numbers.isOne(in: 4) { try readAll() }
    }

    /// Cuts the last file inside what was never synced, or flips a bit there.
    private func tear(_ place: String) throws {
        let unsynced = model.batches.filter { $0.base >= model.durable }
        guard !unsynced.isEmpty, let name = try lastSegment(place) else { return }
        let path = place + "/" + name
        let inFile = unsynced.filter { $0.base >= Int64(name.prefix(20))! }
        let bytes = inFile.reduce(0) { $0 + $1.sizeInBytes }
        guard bytes > 0 else { return }
        let lost = 1 + numbers.below(bytes)
        let descriptor = unsafe Glibc.open(path, O_RDWR)
        defer { Glibc.close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        if numbers.isOne(in: 2) {
            try expectCall(ftruncate(descriptor, off_t(size - lost)))
        } else {
            var byte: UInt8 = 0
            try expectCall(Int32(unsafe pread(descriptor, &byte, 1, off_t(size - lost)) - 1))
            byte ^= UInt8(1 << numbers.below(8))
            try expectCall(Int32(unsafe pwrite(descriptor, &byte, 1, off_t(size - lost)) - 1))
        }
        // The batch that the first lost byte is in, and all after it.
        var left = bytes - lost
        let first = inFile.first { batch in
            left -= batch.sizeInBytes
            return left < 0
        }!
        model.cut(to: first.base)
    }

    private func expectCall(_ result: Int32) throws {
        guard result == 0 else { throw ModelFailure("a call of the test failed: errno \(errno)") }
    }

    private func lastSegment(_ place: String) throws -> String? {
        guard let stream = unsafe opendir(place) else { throw ModelFailure("no directory \(place)") }
        defer { unsafe closedir(stream) }
        var last: String?
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name.hasSuffix(".log"), name > last ?? "" { last = name }
        }
        return last
    }
}
