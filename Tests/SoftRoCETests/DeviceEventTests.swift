import RDMATransport
import Testing
import TransportTestSupport

/// What a device tells on its own: on devices of these tests' own, so that rxe0 stays as it is.
@Suite(.serialized) struct DeviceEventTests {
    /// The next event of a kind; others, such as of an IPv6 address that came up, are passed over.
    static func next(_ kind: DeviceEvent.Kind, of context: DeviceContext) throws -> DeviceEvent {
        while true {
            try expect(isReadable(context.eventDescriptor, 20_000), "no \(kind) within 20 s")
            if let event = context.nextEvent(), event.kind == kind { return event }
        }
    }

    static func next(_ kind: DeviceEvent.Kind, of end: VerbsEndHandle) throws -> VerbsEndReply {
        while true {
            let reply = try end.perform { .deviceEvent(end: $0, milliseconds: 20_000) }
            try expect(reply.isFound, "no \(kind) within 20 s")
            if reply.event == kind.rawValue { return reply }
        }
    }

    @Test func aPortGoesDownAndUp() throws {
        let device = try SpareDevice(31)
        let context = try DeviceContext(name: device.name)
        #expect(try context.port(1).isActive)
        try SpareDevice.command(["ip", "link", "set", device.interface, "down"])
        #expect(try Self.next(.portError, of: context).element == 1)
        #expect(try !context.port(1).isActive)
        try SpareDevice.command(["ip", "link", "set", device.interface, "up"])
        #expect(try Self.next(.portActive, of: context).element == 1)
        #expect(try context.port(1).isActive)
    }

    @Test func anAddressComesAndGoes() throws {
        let device = try SpareDevice(32)
        let context = try DeviceContext(name: device.name)
        let added = GID(ipv4: (10, 9, 132, 77))
        try SpareDevice.command(["ip", "addr", "add", "10.9.132.77/24", "dev", device.interface])
        #expect(try Self.next(.addressesChanged, of: context).element == 1)
        try waitUntil("the address") { try context.gids(port: 1).contains { $0.bytes == added.bytes } }
        while context.nextEvent() != nil {}
        try SpareDevice.command(["ip", "addr", "del", "10.9.132.77/24", "dev", device.interface])
        #expect(try Self.next(.addressesChanged, of: context).element == 1)
        try waitUntil("its end") { try !context.gids(port: 1).contains { $0.bytes == added.bytes } }
    }

    /// Every process that has the device open is told.
    @Test func bothProcessesAreTold() throws {
        let device = try SpareDevice(33)
        let context = try DeviceContext(name: device.name)
        let pair = try VerbsPair(.twoProcesses) { $0.device = device.name }
        try SpareDevice.command(["ip", "link", "set", device.interface, "down"])
        #expect(try Self.next(.portError, of: pair.far).element == 1)
        #expect(try Self.next(.portError, of: pair.near).element == 1)
        #expect(try Self.next(.portError, of: context).element == 1)
    }

    /// An idle connection outlives a port that is down for a moment.
    @Test func aConnectionSurvivesAPortThatComesBack() throws {
        let device = try SpareDevice(34)
        let pair = try VerbsPair(.twoProcesses) { $0.device = device.name }
        try pair.far.receive(0, 4096)
        try SpareDevice.command(["ip", "link", "set", device.interface, "down"])
        _ = try Self.next(.portError, of: pair.near)
        try SpareDevice.command(["ip", "link", "set", device.interface, "up"])
        _ = try Self.next(.portActive, of: pair.near)
        try pair.near.fill(0, 100, seed: 9)
        try pair.near.post(.send, 0, 100)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 100)
        #expect(try pair.far.bytes(0, 100) == pattern(100, seed: 9))
    }

    /// More completions than fit end a queue, and the device says so. Never on rxe0's own tests' queues.
    @Test func anOverrunQueueIsTold() throws {
        let device = try SpareDevice(35)
        let pair = try VerbsPair(.twoProcesses, near: overrunning(device.name)) { $0.device = device.name }
        for number in 0..<16 as Range<UInt64> {
            try pair.near.post(.write, 0, 8) { post in
                post.aim(at: pair.far)
                post.workID = number
            }
        }
        #expect(try Self.next(.completionQueueError, of: pair.near).event == 0)
    }

    private func overrunning(_ device: String) -> VerbsEndOptions {
        var options = VerbsEndOptions()
        options.device = device
        options.completionDepth = 2
        return options
    }

    @Test func anEventHasWords() {
        #expect(DeviceEvent.Kind.portError.description == "port error")
        #expect(DeviceEvent.Kind.lastWorkReached.description == "last WQE reached")
        #expect(!DeviceEvent.Kind(rawValue: 4000).description.isEmpty)
    }
}
