import Foundation
import RDMATransport
import Testing
import TransportTestSupport

/// A port's addresses, and which one is sent from.
@Suite(.serialized) struct AddressTests {
    static let first = GID(ipv4: (10, 9, 0, 1))
    static let second = GID(ipv4: (10, 9, 0, 2))

    @Test func theTableIsTheKernels() throws {
        let table = "/sys/class/infiniband/rxe0/ports/1"
        func read(_ path: String) throws -> String {
            try String(contentsOfFile: "\(table)/\(path)", encoding: .utf8).trimmingCharacters(
                in: .whitespacesAndNewlines)
        }
        let gids = try DeviceContext(name: "rxe0").gids(port: 1)
        #expect(gids.count >= 3, "two of IPv4, one of the link")
        for gid in gids {
            let digits = try read("gids/\(gid.index)").filter { $0 != ":" }
            #expect(gid.bytes.map { String(format: "%02x", $0) }.joined() == digits)
            #expect(try read("gid_attrs/types/\(gid.index)").hasPrefix(gid.kind.rawValue))
            let interface = try read("gid_attrs/ndevs/\(gid.index)")
            #expect(gid.interfaceIndex == Int(unsafe if_nametoindex(interface)))
        }
    }

    @Test func emptyPlacesAreLeftOut() throws {
        let context = try DeviceContext(name: "rxe0")
        let gids = try context.gids(port: 1)
        #expect(gids.count < (try context.port(1).gidCount))
        #expect(gids.allSatisfy { $0.bytes.contains { $0 != 0 } })
        #expect(gids.map(\.index) == gids.map(\.index).sorted())
    }

    @Test func aPortThatIsNotThereHasNone() throws {
        #expect(throws: FabricError.self) { _ = try DeviceContext(name: "rxe0").gids(port: 2) }
    }

    @Test func theFirstIPv4AddressIsSelected() throws {
        let gid = try DeviceContext(name: "rxe0").selectGID()
        #expect(gid.bytes == Self.first.bytes && gid.kind == .roceV2 && gid.description == "10.9.0.1")
    }

    @Test func theBoundAddressIsSelected() throws {
        let context = try DeviceContext(name: "rxe0")
        let gid = try context.selectGID(source: Self.second)
        #expect(gid.bytes == Self.second.bytes)
        #expect(gid.index != (try context.selectGID(source: Self.first).index))
    }

    @Test func anAddressThatThePortLacksIsRefused() throws {
        let failure = #expect(throws: FabricError.self) {
            _ = try DeviceContext(name: "rxe0").selectGID(source: GID(ipv4: (192, 0, 2, 7)))
        }
        #expect(failure?.code == .address)
        #expect(failure?.description.contains("192.0.2.7") == true)
    }

    /// IPv4, then global IPv6, then the link's own, as addresses come and go.
    @Test func theSelectionFollowsTheInterface() throws {
        let device = try SpareDevice(21)
        let context = try DeviceContext(name: device.name)
        #expect(try context.selectGID().description == device.host)
        try SpareDevice.command(["ip", "addr", "add", "fd00:9::1/64", "dev", device.interface, "nodad"])
        try waitUntil("the global address") { try context.gids(port: 1).contains { $0.bytes[0] == 0xfd } }
        #expect(try context.selectGID().description == device.host, "IPv4 stays first")
        try SpareDevice.command(["ip", "-4", "addr", "flush", "dev", device.interface])
        try waitUntil("the end of IPv4") { try !context.gids(port: 1).contains(where: \.isIPv4) }
        #expect(try context.selectGID().bytes[0] == 0xfd)
        try SpareDevice.command(["ip", "addr", "del", "fd00:9::1/64", "dev", device.interface])
        try waitUntil("the end of the global address") { try !context.gids(port: 1).contains { $0.bytes[0] == 0xfd } }
        #expect(try context.selectGID().isLinkLocal)
    }

    @Test func anInterfaceThatIsDownIsNotSelected() throws {
        let device = try SpareDevice(22)
        let context = try DeviceContext(name: device.name)
        try SpareDevice.command(["ip", "link", "set", device.interface, "down"])
        #expect(try context.gids(port: 1).contains(where: \.isIPv4), "the address stays in the table")
        let failure = #expect(throws: FabricError.self) { _ = try context.selectGID() }
        #expect(
            failure?.code == .address && failure?.description.contains("is down") == true,
            "\(String(describing: failure))")
        try SpareDevice.command(["ip", "link", "set", device.interface, "up"])
        try waitUntil("an address") { (try? context.selectGID()) != nil }
        #expect(try context.selectGID().description == device.host)
    }

    /// Without an IPv4 address connections go over IPv6, between two processes.
    @Test func aConnectionOverIPv6() throws {
        let device = try SpareDevice(23)
        try SpareDevice.command(["ip", "addr", "add", "fd00:9:23::1/64", "dev", device.interface, "nodad"])
        try SpareDevice.command(["ip", "-4", "addr", "flush", "dev", device.interface])
        let context = try DeviceContext(name: device.name)
        try waitUntil("IPv6 only") { (try? context.selectGID().bytes[0]) == 0xfd }
        let pair = try VerbsPair(.twoProcesses) { $0.device = device.name }
        #expect(pair.near.about.address[0] == 0xfd)
        try pair.far.receive(0, 4096)
        try pair.near.fill(0, 3000, seed: 4)
        try pair.near.post(.send, 0, 3000)
        #expect(try pair.far.success().byteCount == 3000)
        #expect(try pair.far.bytes(0, 3000) == pattern(3000, seed: 4))
    }

    /// By hand from the second address: the packets carry it.
    @Test func aDatagramFromTheSecondAddress() throws {
        let pair = try RegionPair { $0.kind = 4 }
        try pair.far.receive(0, 4096)
        let context = pair.end.context
        let way = try AddressHandle(
            to: GID(bytes: pair.far.about.address), localGIDIndex: try context.selectGID(source: Self.second).index,
            in: pair.end.domain)
        var chain = SendChain(capacity: 1)
        let destination = way.destination(queuePair: pair.far.about.queuePair, queueKey: 0x1111)
        unsafe chain.append(
            .sendTo(destination), workID: 1, flags: .signaled, pair.end.region.element(offset: 0, byteCount: 8))
        #expect(chain.post(to: pair.end.queuePair) == .posted)
        try pair.near.success()
        #expect(try pair.far.success().byteCount == 48)
        #expect(try pair.far.bytes(32, 4) == [10, 9, 0, 2])
        withExtendedLifetime(way) {}
    }

    @Test func anAddressHandleThroughAWrongPortIsRefused() throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let gid = try context.selectGID()
        let failure = #expect(throws: FabricError.self) {
            _ = try AddressHandle(to: gid, port: 9, localGIDIndex: gid.index, in: domain)
        }
        #expect(failure?.operation == "ibv_create_ah" && failure?.description.contains("port 9") == true)
    }
}

/// Polls a condition, with a watchdog; yields in between.
func waitUntil(_ what: String, _ condition: () throws -> Bool) throws {
    let deadline = monotonicNanoseconds() + 20_000_000_000
    while try !condition() {
        try expect(monotonicNanoseconds() < deadline, "no \(what) within 20 s")
        sched_yield()
    }
}
