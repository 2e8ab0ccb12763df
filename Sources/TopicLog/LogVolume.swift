internal import Glibc

/// A directory that holds partitions, and the file system under it: what is synced together, and fails together.
///
/// - Threading: one owner, the log's. Only ``directory`` travels, in flush tickets.
package final class LogVolume {
    /// The directory's path.
    package let path: String
    /// The directory itself. Open from the start: the kernel reports a failed write-back once, to the descriptors that
    /// were open when it happened.
    let directory: LogFile
    /// The failed sync after which nothing counts as durable any more, in none of its partitions, or nil.
    package private(set) var poison: LogError?
    /// Partitions that are in it: a new one goes where the fewest are.
    var directoryCount = 0
    /// Whether a whole segment became durable since the recovery points were last written.
    var isRecoveryPointStale = false
    private var lock: DirectoryLock?
    /// The descriptors of its segments, and of other volumes'.
    let openFiles: OpenFiles

    /// Opens a directory that is there, without taking its lock.
    init(path: String, openFiles: OpenFiles = OpenFiles(), _ files: FileSystem) throws(LogError) {
        self.path = path
        self.openFiles = openFiles
        directory = try files.open(path, O_RDONLY | O_DIRECTORY)
    }

    /// Creates the directory (not its parents) when there is none, and takes its lock.
    static func own(_ path: String, _ openFiles: OpenFiles, _ files: FileSystem) throws(LogError) -> LogVolume {
        let isNew = try files.createDirectory(path)
        // A start that was killed before it had the lock may not have come to this either.
        if isNew || !files.exists(path + "/.lock") {
            do throws(LogError) { try files.synchronizeDirectory(path + "/..") } catch {
                // In a place that we may not read, the name is for whoever made it to keep.
                if isNew || error.errno != EACCES { throw error }
            }
        }
        let volume = try LogVolume(path: path, openFiles: openFiles, files)
        volume.lock = try DirectoryLock(directory: path, files)
        return volume
    }

    /// Takes note of a failed sync. The kernel reports a lost write once, and not for which file when a whole file
    /// system was synced: no later success would mean anything.
    func fail(_ cause: LogError) {
        guard poison == nil else { return }
        poison = LogError(
            .poisoned, operation: cause.operation, path: cause.path, errno: cause.errno,
            advice: "whether the last appended records are on the disk is unknown; no partition in \(path) takes "
                + "appends until the broker is restarted")
    }

    /// Gives the directory up before the object goes.
    func releaseLock() {
        lock?.release()
        lock = nil
    }
}
