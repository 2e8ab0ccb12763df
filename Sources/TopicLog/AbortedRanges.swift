internal import RecordFormat

/// The offsets of aborted transactions, by producer.
package struct AbortedRanges: Sendable {
    private let ranges: [Int64: [ClosedRange<Offset>]]

    package init(_ transactions: [AbortedTransaction]) {
        ranges = Dictionary(grouping: transactions, by: \.producerID).mapValues { transactions in
            transactions.map { $0.firstOffset...$0.lastOffset }
        }
    }

    /// Whether a batch of records was aborted. Of one producer the transactions follow each other.
    func contain(_ header: RecordBatchHeader) -> Bool {
        guard header.isTransactional, !header.isControl, let ranges = ranges[header.producerID] else { return false }
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < header.baseOffset { low = middle + 1 } else { high = middle }
        }
        return low < ranges.count && ranges[low].contains(header.baseOffset)
    }

    /// Cuts aborted batches out of whole batches.
    /// - Returns: How many bytes are left, at the beginning.
    package func cut(from batches: UnsafeMutableRawBufferPointer) -> Int {
        var (read, kept) = (0, 0)
        while read < batches.count {
            let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(rebasing: batches[read...]))
            let end = read + header.sizeInBytes
            if !contain(header) {
                if kept < read {
                    unsafe UnsafeMutableRawBufferPointer(rebasing: batches[kept...])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: batches[read..<end]))
                }
                kept += end - read
            }
            read = end
        }
        return kept
    }
}
