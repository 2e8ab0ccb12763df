import Glibc
import Synchronization
import TopicLog

/// The kernel's calls, with something to be done first at each `fdatasync`.
final class SyncStorage: LogStorage {
    let real = SystemStorage()
    /// What `fdatasync` comes to without being made; 0: it is made.
    let willSync = Mutex<@Sendable () -> Int32>({ 0 })

    func open(_ path: String, _ flags: Int32) -> Int32 { real.open(path, flags) }
    func close(_ descriptor: Int32) { real.close(descriptor) }
    func size(of descriptor: Int32) -> Int64 { real.size(of: descriptor) }
    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
        unsafe real.read(descriptor, into: buffer, at: position)
    }
    func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int {
        unsafe real.write(descriptor, vectors, at: position)
    }
    func truncate(_ descriptor: Int32, to size: Int64) -> Int32 { real.truncate(descriptor, to: size) }
    func synchronize(_ descriptor: Int32) -> Int32 {
        let outcome = willSync.withLock { $0 }()
        return outcome == 0 ? real.synchronize(descriptor) : outcome
    }
    func dropCache(of descriptor: Int32) { real.dropCache(of: descriptor) }
    func lock(_ descriptor: Int32) -> Int32 { real.lock(descriptor) }
    func createDirectory(_ path: String) -> Int32 { real.createDirectory(path) }
    func synchronizeDirectory(_ path: String) -> Int32 { real.synchronizeDirectory(path) }
    func rename(_ old: String, to new: String) -> Int32 { real.rename(old, to: new) }
    func remove(_ path: String) -> Int32 { real.remove(path) }
    func removeDirectory(_ path: String) -> Int32 { real.removeDirectory(path) }
    func exists(_ path: String) -> Int32 { real.exists(path) }
    func names(in path: String, _ take: (String) -> Void) -> Int32 { real.names(in: path, take) }
}
