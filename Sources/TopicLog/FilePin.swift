internal import Synchronization

/// Says that a file's bytes up to some position are mapped and registered with a device, for as long as it lives. It
/// keeps the file open.
///
/// The device then has the pages themselves: after a truncation or a punched hole it would go on reading the old ones,
/// without any error. So such a range is never cut; debug builds check it. To remove the file's name is harmless.
package final class FilePin: Sendable {
    package let file: LogFile
    private let end: Int64

    /// - Parameter end: The position after the last byte of the range.
    package init(_ file: LogFile, upTo end: Int64) {
        self.file = file
        self.end = end
        file.pinnedEnds.withLock { $0.append(end) }
    }

    deinit {
        file.pinnedEnds.withLock { ends in
            ends.swapAt(ends.firstIndex(of: end)!, ends.count - 1)
            ends.removeLast()
        }
    }
}
