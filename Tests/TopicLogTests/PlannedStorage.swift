import Glibc
import Synchronization

@testable import TopicLog

/// Lets a test play a failing system, or a process that ends, at a chosen call that changes something.
enum FaultPlan {
    /// Asked before each call with its operation and path: 0 to let it happen, an errno to fail it. Bound to the
    /// calling task, so that tests run side by side.
    @TaskLocal static var current: (@Sendable (_ operation: String, _ path: String) -> Int32)?
}

/// The kernel's calls, behind the `FaultPlan`, and behind closures for what happens to data.
@safe  // The one closure with a pointer is an unsafe call.
struct PlannedStorage: LogStorage {
    let real = SystemStorage()
    let paths = Paths()
    var writeVector: (@Sendable (Int32, UnsafeBufferPointer<iovec>, Int64) -> Int)?
    /// Told how many bytes are wanted.
    var willRead: (@Sendable (Int) -> Void)?
    var truncate: (@Sendable (Int32, Int64) -> Int32)?
    var synchronize: (@Sendable (Int32) -> Int32)?
    var synchronizeFileSystem: (@Sendable (Int32) -> Int32)?

    final class Paths: Sendable {
        let byDescriptor = Mutex<[Int32: String]>([:])
        /// How many files were opened.
        let opens = Atomic(0)
    }

    func path(_ descriptor: Int32) -> String { paths.byDescriptor.withLock { $0[descriptor] ?? "?" } }

    /// What the plan says, negated.
    private func fault(_ operation: String, _ path: String) -> Int32 { -(FaultPlan.current?(operation, path) ?? 0) }

    func open(_ path: String, _ flags: Int32) -> Int32 {
        let fault = flags & O_CREAT != 0 ? fault("creating", path) : 0
        let result = fault == 0 ? real.open(path, flags) : fault
        paths.opens.add(1, ordering: .relaxed)
        if result >= 0 { paths.byDescriptor.withLock { $0[result] = path } }
        return result
    }

    func close(_ descriptor: Int32) { real.close(descriptor) }
    func size(of descriptor: Int32) -> Int64 { real.size(of: descriptor) }

    func read(_ descriptor: Int32, into buffer: UnsafeMutableRawBufferPointer, at position: Int64) -> Int {
        willRead?(buffer.count)
        return unsafe real.read(descriptor, into: buffer, at: position)
    }

    func write(_ descriptor: Int32, _ vectors: UnsafeBufferPointer<iovec>, at position: Int64) -> Int {
        let fault = fault("writing", path(descriptor))
        guard fault == 0 else { return Int(fault) }
        if let writeVector = unsafe writeVector { return unsafe writeVector(descriptor, vectors, position) }
        return unsafe real.write(descriptor, vectors, at: position)
    }

    func truncate(_ descriptor: Int32, to size: Int64) -> Int32 {
        let fault = fault("truncating", path(descriptor))
        guard fault == 0 else { return fault }
        return truncate?(descriptor, size) ?? real.truncate(descriptor, to: size)
    }

    func synchronize(_ descriptor: Int32) -> Int32 {
        let fault = fault("syncing", path(descriptor))
        guard fault == 0 else { return fault }
        return synchronize?(descriptor) ?? real.synchronize(descriptor)
    }

    func synchronizeFileSystem(of descriptor: Int32) -> Int32 {
        let fault = fault("syncing all", path(descriptor))
        guard fault == 0 else { return fault }
        return synchronizeFileSystem?(descriptor) ?? real.synchronizeFileSystem(of: descriptor)
    }

    func dropCache(of descriptor: Int32) { real.dropCache(of: descriptor) }
    func lock(_ descriptor: Int32) -> Int32 { real.lock(descriptor) }
    func unlock(_ descriptor: Int32) { real.unlock(descriptor) }

    func createDirectory(_ path: String) -> Int32 {
        let fault = fault("creating directory", path)
        return fault == 0 ? real.createDirectory(path) : fault
    }

    func synchronizeDirectory(_ path: String) -> Int32 {
        let fault = fault("syncing directory", path)
        return fault == 0 ? real.synchronizeDirectory(path) : fault
    }

    func rename(_ old: String, to new: String) -> Int32 {
        let fault = fault("renaming", old)
        return fault == 0 ? real.rename(old, to: new) : fault
    }

    func remove(_ path: String) -> Int32 {
        let fault = fault("removing", path)
        return fault == 0 ? real.remove(path) : fault
    }

    func removeDirectory(_ path: String) -> Int32 {
        let fault = fault("removing directory", path)
        return fault == 0 ? real.removeDirectory(path) : fault
    }

    func exists(_ path: String) -> Int32 { real.exists(path) }
    func names(in path: String, _ take: (String) -> Void) -> Int32 { real.names(in: path, take) }
}
