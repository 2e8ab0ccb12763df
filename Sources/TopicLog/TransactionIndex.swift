internal import Glibc
internal import RecordFormat

/// The file `<base>.txnindex`: the aborted transactions whose markers are in a segment, oldest first. Kafka's format.
///
/// ```
/// count × (version i16 = 0 | producerId i64 | firstOffset i64 | lastOffset i64 | lastStableOffset i64)
/// ```
/// Big-endian. There is none where nothing was aborted, so it cannot be told from one that was lost: unlike the other
/// derived files it is durable before its segment can become so to its end (docs/adr/0018-transactions.md).
enum TransactionIndex {
    static let suffix = ".txnindex"
    static let entryBytes = 34

    static func encode(_ transactions: [AbortedTransaction]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(transactions.count * entryBytes)
        for transaction in transactions {
            bytes.appendBigEndian(0 as Int16)
            bytes.appendBigEndian(transaction.producerID)
            bytes.appendBigEndian(transaction.firstOffset.rawValue)
            bytes.appendBigEndian(transaction.lastOffset.rawValue)
            bytes.appendBigEndian(transaction.lastStableOffset.rawValue)
        }
        return bytes
    }

    /// nil when the file is damaged or of another version.
    static func decode(_ bytes: [UInt8]) -> [AbortedTransaction]? {
        guard bytes.count % entryBytes == 0 else { return nil }
        var transactions: [AbortedTransaction] = []
        transactions.reserveCapacity(bytes.count / entryBytes)
        var last = Int64(-1)
        for start in stride(from: 0, to: bytes.count, by: entryBytes) {
            let version = bytes.bigEndian(Int16.self, at: start)
            let numbers = (0..<4).map { bytes.bigEndian(Int64.self, at: start + 2 + 8 * $0) }
            guard version == 0, numbers[1] >= 0, numbers[1] <= numbers[2], numbers[2] > last else { return nil }
            last = numbers[2]
            transactions.append(
                AbortedTransaction(
                    producerID: numbers[0], firstOffset: Offset(numbers[1]), lastOffset: Offset(numbers[2]),
                    lastStableOffset: Offset(numbers[3])))
        }
        return transactions
    }
}

extension [UInt8] {
    fileprivate func bigEndian<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type, at position: Int) -> T {
        unsafe withUnsafeBytes { unsafe T(bigEndian: $0.loadUnaligned(fromByteOffset: position, as: T.self)) }
    }
}

extension Segment {
    /// What the file says; nil when it is damaged.
    func storedAborted() throws(LogError) -> [AbortedTransaction]? {
        TransactionIndex.decode(try files.contents(of: transactionIndexPath) ?? [])
    }

    /// Takes note of a transaction that a marker just written has aborted.
    func addAborted(_ transaction: AbortedTransaction) {
        aborted!.append(transaction)
        hasUnsavedAborted = true
    }

    /// Writes what is not in the file yet, durably.
    func saveAborted() throws(LogError) {
        guard hasUnsavedAborted, let aborted else { return }
        if aborted.isEmpty {
            try files.remove(transactionIndexPath)
            // Should it come back, it would be believed.
            try files.synchronizeDirectory(directory)
        } else {
            let name = Self.name(baseOffset, TransactionIndex.suffix)
            try files.replace(name, in: directory, with: TransactionIndex.encode(aborted))
        }
        hasUnsavedAborted = false
    }

    /// Takes what a walk of the whole segment has found, whatever the file says.
    func setAborted(_ found: [AbortedTransaction]) throws(LogError) {
        let bytes = try files.contents(of: transactionIndexPath) ?? []
        aborted = found
        hasUnsavedAborted = bytes != TransactionIndex.encode(found)
    }

    /// Takes those of the segments that it is made of.
    func setMerged(_ transactions: [AbortedTransaction], isWritten: Bool) {
        aborted = transactions
        hasUnsavedAborted = !isWritten
    }

    private var transactionIndexPath: String { directory + "/" + Self.name(baseOffset, TransactionIndex.suffix) }
}
