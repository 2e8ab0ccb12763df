internal import Glibc

/// An index file of a segment that is not written to, searched where it lies: nothing of it is kept in memory.
struct IndexFile<Entry: IndexEntry> {
    private let file: LogFile
    /// Entries in it.
    let count: Int

    /// Opens a file; nil when there is none, or it is no whole number of entries.
    init?(path: String, _ files: FileSystem) throws(LogError) {
        guard files.exists(path) else { return nil }
        file = try files.open(path, O_RDONLY)
        let size = try file.size()
        guard size % Int64(Entry.byteCount) == 0 else { return nil }
        count = Int(size) / Entry.byteCount
    }

    /// The entry with a number below `count`.
    func entry(_ number: Int) throws(LogError) -> Entry {
        try entries(number..<(number + 1))[0]
    }

    /// The last entry, if there is one.
    var last: Entry? {
        get throws(LogError) { count == 0 ? nil : try entry(count - 1) }
    }

    /// Many entries at once.
    func entries(_ range: Range<Int>) throws(LogError) -> ContiguousArray<Entry> {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: range.count * Entry.byteCount, alignment: 8)
        defer { unsafe memory.deallocate() }
        let got = unsafe try file.read(into: memory, at: Int64(range.lowerBound * Entry.byteCount))
        guard got == range.count * Entry.byteCount else {
            throw LogError(errno: EIO, "reading an entry of", file.path, advice: "it shrank")
        }
        var entries: ContiguousArray<Entry> = []
        entries.reserveCapacity(range.count)
        for start in stride(from: 0, to: got, by: Entry.byteCount) {
            let bytes = unsafe UnsafeRawBufferPointer(rebasing: memory[start..<(start + Entry.byteCount)])
            unsafe entries.append(Entry(decoding: bytes))
        }
        return entries
    }

    /// Every entry, or nil when they are not in order.
    func allInOrder() throws(LogError) -> ContiguousArray<Entry>? {
        let all = try entries(0..<count)
        for index in all.indices.dropFirst() where !all[index].follows(all[index - 1]) { return nil }
        return all
    }
}

/// An index, wherever it is.
enum Index<Entry: IndexEntry> {
    case memory(ContiguousArray<Entry>)
    case file(IndexFile<Entry>)

    var count: Int {
        switch self {
        case .memory(let entries): entries.count
        case .file(let file): file.count
        }
    }

    func entry(_ number: Int) throws(LogError) -> Entry {
        switch self {
        case .memory(let entries): entries[number]
        case .file(let file): try file.entry(number)
        }
    }

    /// How many entries come before the first that is not `isBefore`.
    /// - Complexity: O(log count).
    func count(where isBefore: (Entry) -> Bool) throws(LogError) -> Int {
        try partitionPoint(count) { (number) throws(LogError) in isBefore(try entry(number)) }
    }

    /// The last entry that is `isBefore`.
    func last(where isBefore: (Entry) -> Bool) throws(LogError) -> Entry? {
        let place = try count(where: isBefore)
        return place == 0 ? nil : try entry(place - 1)
    }
}
