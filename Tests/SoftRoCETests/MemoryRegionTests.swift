import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// Memory of this process that the other one reaches.
@Suite(.serialized) struct MemoryRegionTests {
    @Test func aPlainRegionIsReached() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 8192)
        let region = try MemoryRegion(block, access: RegionPair.everything, in: pair.end.domain)
        #expect(region.address == UInt64(UInt(bitPattern: unsafe block.bytes.baseAddress!)))
        #expect(region.byteCount == 8192 && region.memory === block)
        unsafe try pair.expectReachable(
            region.remote(offset: 100), UnsafeRawBufferPointer(rebasing: block.bytes[100..<4100]))
        region.close()
    }

    @Test func aRegionMayHaveAddressesOfItsOwn() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 8192)
        let region = try MemoryRegion(
            block, ioAddress: 0x1000_0000, access: RegionPair.everything, in: pair.end.domain)
        #expect(region.address == 0x1000_0000)
        #expect(region.remote(offset: 16).address == 0x1000_0010)
        unsafe try pair.expectReachable(
            region.remote(offset: 16), UnsafeRawBufferPointer(rebasing: block.bytes[16..<2016]))
        region.close()
    }

    @Test func aRegionsOwnAddressesCountForOurselvesToo() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 4096)
        unsafe block.bytes.copyBytes(from: pattern(500, seed: 3))
        let region = try MemoryRegion(block, ioAddress: 0x2000_0000, access: .localWrite, in: pair.end.domain)
        try pair.far.receive(0, 4096)
        var chain = SendChain(capacity: 1)
        unsafe chain.append(.send, workID: 1, flags: .signaled, region.element(offset: 0, byteCount: 500))
        #expect(chain.post(to: pair.end.queuePair) == .posted)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 500)
        #expect(try pair.far.bytes(0, 500) == pattern(500, seed: 3))
        region.close()
    }

    @Test func theMemorysOwnAddressIsRefusedThen() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 4096)
        let region = try MemoryRegion(block, ioAddress: 0x3000_0000, access: RegionPair.everything, in: pair.end.domain)
        let real = RemoteSlice(
            key: region.remoteKey, address: UInt64(UInt(bitPattern: unsafe block.bytes.baseAddress!)))
        #expect(try pair.farStatus(.write, real) == .remoteAccess)
        region.close()
    }

    /// Relaxed ordering is a permission: once completed, the bytes are there.
    @Test func relaxedOrderingChangesNoBytes() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 65536)
        let region = try MemoryRegion(
            block, access: RegionPair.everything.union(.relaxedOrdering), in: pair.end.domain)
        unsafe try pair.expectReachable(region.remote(), UnsafeRawBufferPointer(block.bytes))
        region.close()
    }

    @Test func aMappedFileIsReached() throws {
        let pair = try RegionPair()
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("region-\(UUID())").path
        defer { unsafe unlink(path) }
        #expect(FileManager.default.createFile(atPath: path, contents: Data(count: 8192)))
        let file = try #require(FileHandle(forUpdatingAtPath: path))
        let base = unsafe mmap(nil, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file.fileDescriptor, 0)
        defer { unsafe munmap(base, 8192) }
        let bytes = unsafe UnsafeMutableRawBufferPointer(start: base, count: 8192)
        let region = unsafe try MemoryRegion(unowned: bytes, access: RegionPair.everything, in: pair.end.domain)
        #expect(region.memory == nil)
        unsafe try pair.expectReachable(region.remote(), UnsafeRawBufferPointer(bytes))
        region.close()
        #expect([UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) == pattern(8192, seed: 0x5a))
    }

    @Test func memoryMayBeRegisteredTwice() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 4096)
        let open = try MemoryRegion(block, access: RegionPair.everything, in: pair.end.domain)
        let closed = try MemoryRegion(block, access: .localWrite, in: pair.end.domain)
        #expect(open.remoteKey != closed.remoteKey)
        unsafe try pair.expectReachable(open.remote(), UnsafeRawBufferPointer(rebasing: block.bytes[..<64]))
        #expect(try pair.farStatus(.write, closed.remote()) == .remoteAccess)
        open.close()
        closed.close()
    }

    @Test func aClosedRegionIsClosed() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 4096)
        let region = try MemoryRegion(block, access: RegionPair.everything, in: pair.end.domain)
        let remote = region.remote()
        #expect(try pair.farStatus(.write, remote) == .success)
        region.close()
        #expect(try pair.farStatus(.write, remote) == .remoteAccess)
    }

    @Test func aRegionKeepsItsMemory() throws {
        let pair = try RegionPair()
        var block: MemoryBlock? = try MemoryBlock(byteCount: 4096)
        weak let watched = block
        let region = try MemoryRegion(block!, access: RegionPair.everything, in: pair.end.domain)
        block = nil
        #expect(watched != nil)
        #expect(try pair.farStatus(.write, region.remote()) == .success)
        region.close()
        #expect(watched == nil)
    }

    @Test func theLastByteIsOfTheRegion() throws {
        let pair = try RegionPair()
        let block = try MemoryBlock(byteCount: 4096)
        let region = try MemoryRegion(block, access: RegionPair.everything, in: pair.end.domain)
        try pair.far.fill(0, 8, seed: 1)
        #expect(try pair.farStatus(.write, region.remote(offset: 4088)) == .success)
        #expect(unsafe Array(block.bytes[4088...]) == pattern(8, seed: 1))
        #expect(try pair.farStatus(.write, region.remote(offset: 4089)) == .remoteAccess)
        region.close()
    }

    @Test(arguments: [MemoryAccess.remoteWrite, .remoteAtomic]) func remoteChangesNeedLocalOnes(
        _ access: MemoryAccess
    ) throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let failure = #expect(throws: FabricError.self) {
            _ = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: access, in: domain).localKey
        }
        #expect(failure?.operation == "ibv_reg_mr" && failure?.errorNumber == EINVAL)
        #expect(failure?.description.contains("4096 bytes with rxe0") == true)
    }

    @Test func memoryThatIsNotThereIsRefused() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let nowhere = unsafe UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: 0x10_0000), count: 4096)
        let failure = #expect(throws: FabricError.self) {
            _ = unsafe try MemoryRegion(unowned: nowhere, access: .localWrite, in: domain).localKey
        }
        #expect(failure?.errorNumber == EFAULT || failure?.errorNumber == ENOMEM, "\(String(describing: failure))")
    }

    // MARK: What devices may lack

    @Test func onDemandIsOfferedOrUnsupported() throws {
        let pair = try RegionPair()
        let isThere = !(try pair.end.context.attributes().onDemandPaging.reliable.isEmpty)
        try expectOfferedOrUnsupported(isThere, "ibv_reg_mr") {
            let block = try MemoryBlock(byteCount: 65536)
            let region = try MemoryRegion(block, access: RegionPair.everything.union(.onDemand), in: pair.end.domain)
            try region.prefetch(offset: 0, byteCount: 4096, forWriting: true)
            unsafe try pair.expectReachable(region.remote(), UnsafeRawBufferPointer(rebasing: block.bytes[..<4096]))
        }
    }

    @Test func implicitOnDemandIsOfferedOrUnsupported() throws {
        let pair = try RegionPair()
        let isThere = try pair.end.context.attributes().onDemandPaging.isImplicit
        try expectOfferedOrUnsupported(isThere, "ibv_reg_mr") {
            let region = try MemoryRegion(everythingOnDemand: RegionPair.everything, in: pair.end.domain)
            let block = try MemoryBlock(byteCount: 4096)
            let remote = RemoteSlice(
                key: region.remoteKey, address: UInt64(UInt(bitPattern: unsafe block.bytes.baseAddress!)))
            unsafe try pair.expectReachable(remote, UnsafeRawBufferPointer(block.bytes))
        }
    }

    @Test func prefetchIsOfferedOrUnsupported() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        let isThere = !(try context.attributes().onDemandPaging.reliable.isEmpty)
        try expectOfferedOrUnsupported(isThere, "ibv_advise_mr") {
            try region.prefetch(offset: 0, byteCount: 4096, forWriting: false)
        }
    }

    /// There is no dma-buf here; a device that takes any would say that the memfd is none (EINVAL).
    @Test func aDMABufferIsOfferedOrUnsupported() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let block = try MemoryBlock(byteCount: 4096)
        let failure = #expect(throws: FabricError.self) {
            _ = try MemoryRegion(
                dmaBuffer: block.descriptor, offset: 0, byteCount: 4096, ioAddress: 0, access: .localWrite, in: domain
            ).localKey
        }
        #expect(failure?.operation == "ibv_reg_dmabuf_mr")
        #expect(failure?.code == .unsupported || failure?.errorNumber == EINVAL, "\(String(describing: failure))")
    }

    // MARK: Bounds

    @Test func anElementBehindTheEndTraps() async {
        await #expect(processExitsWith: .failure) {
            let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
            let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
            _ = region.element(offset: 4000, byteCount: 97)
            exit(0)
        }
    }

    @Test func elementsReachToTheEnd() throws {
        let domain = try ProtectionDomain(context: try DeviceContext(name: "rxe0"))
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        let element = region.element(offset: 4000, byteCount: 96)
        #expect(element.address == region.address + 4000 && element.byteCount == 96)
        #expect(element.localKey == region.localKey)
        #expect(region.element(offset: 4096, byteCount: 0).byteCount == 0)
    }
}
