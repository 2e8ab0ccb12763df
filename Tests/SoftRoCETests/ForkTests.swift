import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// What happens to registered memory and devices when a process forks.
@Suite(.serialized) struct ForkTests {
    /// A child that writes to `memory`, says so, and lives until told to end. Swift hides fork(2): after it, only
    /// calls that are safe in signal handlers.
    private final class Child {
        let pid: pid_t
        private let leave: Int32

        init(touching memory: UnsafeMutablePointer<UInt8>) throws {
            let symbol = unsafe dlsym(nil, "fork")
            let fork = unsafe unsafeBitCast(symbol, to: (@convention(c) () -> pid_t).self)
            let (said, told) = (try makePipe(), try makePipe())
            let child = fork()
            if child == 0 {
                unsafe memory.pointee = 0xcc
                var byte: UInt8 = 1
                _ = unsafe write(said.write, &byte, 1)
                close(told.write)
                _ = unsafe read(told.read, &byte, 1)
                _exit(0)
            }
            try expect(child > 0, "fork failed")
            pid = child
            leave = told.write
            close(told.read)
            close(said.write)
            try expect(isReadable(said.read, 20_000), "the child says nothing")
            close(said.read)
        }

        func end() -> Int32 {
            close(leave)
            var status: Int32 = 0
            while unsafe waitpid(pid, &status, 0) != pid {}
            return status
        }
    }

    /// Private memory, which a fork shares until one of the two writes.
    @safe private final class Anonymous {
        let bytes: UnsafeMutableRawBufferPointer
        init() {
            let base = unsafe mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | 0x20 /* MAP_ANONYMOUS */, -1, 0)
            unsafe bytes = UnsafeMutableRawBufferPointer(start: base, count: 8192)
        }
        deinit { unsafe munmap(bytes.baseAddress, 8192) }
        var first: UnsafeMutablePointer<UInt8> { unsafe bytes.baseAddress!.assumingMemoryBound(to: UInt8.self) }
    }

    @Test func thisKernelNeedsNoPreparation() throws {
        #expect(DeviceContext.forkSafety == .unneeded, "kernels from 5.12 on copy pinned pages")
        try DeviceContext.prepareForFork()
        #expect(DeviceContext.forkSafety == .unneeded)
    }

    /// The device goes on with the parent's pages, whoever writes first.
    @Test func theParentKeepsItsRegisteredMemory() throws {
        let pair = try RegionPair()
        let memory = Anonymous()
        unsafe memory.bytes.copyBytes(from: pattern(8192, seed: 1))
        let region = unsafe try MemoryRegion(
            unowned: memory.bytes, access: RegionPair.everything, in: pair.end.domain)
        let child = unsafe try Child(touching: memory.first)
        unsafe memory.bytes.copyBytes(from: pattern(8192, seed: 2))
        #expect(try pair.farStatus(.read, region.remote(), count: 8192) == .success)
        #expect(try pair.far.bytes(0, 8192) == pattern(8192, seed: 2), "the peer sees what the parent wrote")
        #expect(child.end() == 0)
        region.close()
    }

    @Test func whatThePeerWritesReachesTheParent() throws {
        let pair = try RegionPair()
        let memory = Anonymous()
        let region = unsafe try MemoryRegion(
            unowned: memory.bytes, access: RegionPair.everything, in: pair.end.domain)
        let child = unsafe try Child(touching: memory.first)
        unsafe try pair.expectReachable(region.remote(), UnsafeRawBufferPointer(rebasing: memory.bytes[..<4096]))
        #expect(child.end() == 0)
        unsafe try pair.expectReachable(region.remote(), UnsafeRawBufferPointer(rebasing: memory.bytes[..<64]))
        region.close()
    }

    /// A child's end closes its copies of the descriptors and nothing else.
    @Test func aChildsEndLeavesTheConnectionAlone() throws {
        let pair = try RegionPair()
        let memory = Anonymous()
        #expect(unsafe try Child(touching: memory.first).end() == 0)
        try pair.far.receive(0, 4096)
        try pair.near.fill(0, 1000, seed: 3)
        try pair.near.post(.send, 0, 1000)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 1000)
        #expect(try pair.far.bytes(0, 1000) == pattern(1000, seed: 3))
    }

    /// A program that is started from here gets no device.
    @Test func aProgramInheritsNoDevice() throws {
        let pair = try RegionPair()
        let manager = try VerbsManager()
        let mine = try SpareDevice.output(["ls", "-l", "/proc/\(getpid())/fd"])
        #expect(mine.contains("infiniband"))
        let childs = try SpareDevice.output(["sh", "-c", "ls -l /proc/$$/fd"])
        #expect(!childs.contains("infiniband") && !childs.isEmpty, "\(childs)")
        withExtendedLifetime((pair.end, manager)) {}
    }
}
