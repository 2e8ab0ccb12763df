import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// What can be asked of a device.
@Suite(.serialized) struct DeviceTests {
    @Test func everyDeviceOfTheKernelIsListed() throws {
        let known = try FileManager.default.contentsOfDirectory(atPath: "/sys/class/infiniband")
        #expect(DeviceContext.deviceNames().sorted() == known.sorted())
        #expect(known.contains("rxe0"))
    }

    @Test func anOpenDeviceKnowsItsName() throws {
        for name in DeviceContext.deviceNames() { #expect(try DeviceContext(name: name).name == name) }
    }

    @Test func aNameThatNoDeviceHasIsRefused() throws {
        let failure = #expect(throws: FabricError.self) { _ = try DeviceContext(name: "mlx5_99") }
        #expect(failure?.code == .noDevice)
        #expect(failure?.description.contains("mlx5_99") == true)
    }

    @Test func attributesAreTheKernels() throws {
        let attributes = try DeviceContext(name: "rxe0").attributes()
        let ports = try FileManager.default.contentsOfDirectory(atPath: "/sys/class/infiniband/rxe0/ports")
        #expect(attributes.portCount == ports.count)
        #expect(attributes.vendor == 0xff_ffff, "that of devices in software")
        #expect(attributes.workRequestsMax >= 1024 && attributes.scatterGatherMax >= 16)
        #expect(attributes.completionQueuesMax > 0 && attributes.completionsMax >= 1024)
        #expect(attributes.queuePairsMax > 0 && attributes.regionsMax > 0 && attributes.regionBytesMax > 1 << 30)
        #expect(attributes.sharedReceiveQueuesMax > 0 && attributes.sharedReceivesMax > 0)
        #expect(attributes.readsInFlightMax > 0 && attributes.readsAsInitiatorMax > 0)
        #expect(attributes.hasAtomics)
    }

    @Test func theFirmwaresVersionIsText() throws {
        let firmware = try DeviceContext(name: "rxe0").attributes().firmware
        #expect(!firmware.isEmpty && firmware.utf8.allSatisfy { $0 > 32 && $0 < 127 }, "\(firmware)")
    }

    /// The limits are not words only: one more than the device has is refused.
    @Test func theLimitOfElementsHolds() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 16)
        var options = QueuePairOptions(depths: .init(send: 4, receive: 4))
        options.sendElementsMax = try context.attributes().scatterGatherMax
        #expect(try QueuePair(options, in: domain, sends: queue, receives: queue).number > 0)
        options.sendElementsMax += 1
        let failure = #expect(throws: FabricError.self) {
            _ = try QueuePair(options, in: domain, sends: queue, receives: queue).number
        }
        #expect(failure?.description.contains("\(options.sendElementsMax) + 1 elements") == true)
    }

    @Test func aPortSaysWhatItIs() throws {
        let port = try DeviceContext(name: "rxe0").port(1)
        #expect(port.isActive && port.isEthernet)
        #expect(port.mtuBytes == 4096, "the interface's MTU of 9000 leaves room for 4096")
        #expect(port.messageBytesMax >= 1 << 30)
        #expect(port.partitionKeyCount > 0 && port.localIdentifier == 0)
        let gids = try FileManager.default.contentsOfDirectory(atPath: "/sys/class/infiniband/rxe0/ports/1/gids")
        #expect(port.gidCount == gids.count)
    }

    @Test(arguments: [0, 2, 255, 256, -1]) func thereIsNoOtherPort(_ number: Int) throws {
        let failure = #expect(throws: FabricError.self) { _ = try DeviceContext(name: "rxe0").port(number) }
        #expect(failure?.operation == "ibv_query_port")
        #expect(failure?.description.contains("\(number)") == true)
    }

    @Test func whatIsMadeKeepsTheDeviceOpen() throws {
        var context: DeviceContext? = try DeviceContext(name: "rxe0")
        weak let watched = context
        let domain = try ProtectionDomain(context: context!)
        context = nil
        #expect(watched != nil)
        let region = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        #expect(region.byteCount == 4096)
    }

    @Test func aDeviceIsClosedWithItsLastUser() throws {
        let before = descriptorCount()
        do {
            let context = try DeviceContext(name: "rxe0")
            let queue = try CompletionQueue(context: context, depth: 4)
            #expect(descriptorCount() > before)
            withExtendedLifetime(queue) {}
        }
        #expect(descriptorCount() == before)
    }

    @Test func severalContextsOfOneDeviceAreApart() throws {
        let (one, two) = (try DeviceContext(name: "rxe0"), try DeviceContext(name: "rxe0"))
        #expect(one.eventDescriptor != two.eventDescriptor)
        let domain = try ProtectionDomain(context: one)
        let queue = try CompletionQueue(context: two, depth: 4)
        #expect(throws: FabricError.self, "a domain and a queue of different contexts") {
            _ = try QueuePair(
                QueuePairOptions(depths: .init(send: 1, receive: 1)), in: domain, sends: queue, receives: queue
            ).number
        }
    }

    @Test func askingForEventsNeverBlocks() throws {
        let context = try DeviceContext(name: "rxe0")
        #expect(context.nextEvent() == nil)
        #expect(!isReadable(context.eventDescriptor, 0))
    }

    /// What the tests had to do without: printed, so that nobody takes an `unsupported` for a feature.
    @Test func whatTheDeviceLacks() throws {
        let context = try DeviceContext(name: "rxe0")
        let attributes = try context.attributes()
        let paging = attributes.onDemandPaging
        let features: [(String, Bool)] = [
            ("on-demand paging", !paging.reliable.isEmpty), ("implicit on-demand paging", paging.isImplicit),
            ("XRC", attributes.capabilities.contains(.extendedReliable)),
            ("completion timestamps", attributes.clockKilohertz != 0),
            ("windows of type 2A", attributes.capabilities.contains(.windows2A)),
            ("thread domains", isOffered { _ = try ThreadDomain(context: context) }),
            (
                "parent domains",
                isOffered { _ = try ProtectionDomain(parent: try ProtectionDomain(context: context), thread: nil) }
            ),
            (
                "completion moderation",
                isOffered { try CompletionQueue(context: context, depth: 4).moderate(count: 2, microseconds: 9) }
            ),
            ("global flush (but libibverbs 44 has no call)", attributes.capabilities.contains(.flushGlobal)),
            ("atomic writes", attributes.capabilities.contains(.atomicWrite)),
        ]
        print("not on rxe0: \(features.filter { !$0.1 }.map(\.0).joined(separator: ", "))")
        print("on rxe0: \(features.filter(\.1).map(\.0).joined(separator: ", "))")
        #expect(attributes.capabilities.contains(.windows), "what has been there for years")
    }
}

/// False when the device says that it has no such thing; other errors are the test's.
func isOffered(_ body: () throws -> Void) -> Bool {
    do {
        try body()
        return true
    } catch let error as FabricError where error.code == .unsupported {
        return false
    } catch {
        Issue.record("\(error)")
        return false
    }
}

/// Runs the feature where the device has it; elsewhere the error must be `unsupported`, naming the call and the device.
func expectOfferedOrUnsupported(
    _ isThere: Bool, _ operation: String, at location: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) throws {
    guard !isThere else { return try body() }
    let failure = #expect(throws: FabricError.self, sourceLocation: location) { try body() }
    #expect(failure?.code == .unsupported, "\(failure?.description ?? "")", sourceLocation: location)
    #expect(failure?.operation == operation, sourceLocation: location)
    #expect(failure?.description.contains("rxe0") == true, sourceLocation: location)
}
