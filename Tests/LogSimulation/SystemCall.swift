internal import Glibc

/// The calls of `LogStorage`, as plans and traces name them.
package enum SystemCall: String, CaseIterable, Sendable {
    case open, create, size, read, write, truncate, synchronize, synchronizeFileSystem, lock, createDirectory
    case synchronizeDirectory, rename, remove, removeDirectory, exists, names

    /// Whether it can leave something else on the disk than it found.
    package var isChange: Bool {
        switch self {
        case .open, .size, .read, .lock, .exists, .names: false
        default: true
        }
    }

    /// What can go wrong with a call, as its manual page says.
    package enum Fault: CaseIterable, Sendable {
        case inputOutput, noSpace, tooManyFiles, interrupted, short

        /// The errno; 0 for less done than was asked.
        package var number: Int32 {
            switch self {
            case .inputOutput: EIO
            case .noSpace: ENOSPC
            case .tooManyFiles: EMFILE
            case .interrupted: EINTR
            case .short: 0
            }
        }

        /// Whether the call can meet it. `fsync` may be interrupted by its manual page, though no disk's is.
        package func canHappen(to call: SystemCall) -> Bool {
            switch self {
            case .inputOutput: true
            case .noSpace:
                [
                    .create, .write, .truncate, .synchronize, .synchronizeFileSystem, .synchronizeDirectory,
                    .createDirectory, .rename,
                ].contains(call)
            case .tooManyFiles: [.open, .create, .synchronizeDirectory, .names].contains(call)
            case .interrupted: [.open, .create, .read, .write, .truncate, .synchronize, .lock].contains(call)
            case .short: [.read, .write].contains(call)
            }
        }
    }
}
