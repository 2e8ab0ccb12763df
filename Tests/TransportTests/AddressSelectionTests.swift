import Testing

@testable import RDMATransport

/// Which of a port's addresses is sent from: the rule, without a device.
@Suite struct AddressSelectionTests {
    static func gid(_ index: Int, _ bytes: [UInt8], _ kind: GID.Kind = .roceV2, interface: Int = 7) -> GID {
        GID(index: index, bytes: bytes, kind: kind, interfaceIndex: interface)
    }
    static let ipv4 = GID(ipv4: (10, 0, 0, 1)).bytes
    static let otherIPv4 = GID(ipv4: (10, 0, 0, 2)).bytes
    static let global: [UInt8] = [0xfd, 0, 0, 9] + [UInt8](repeating: 1, count: 12)
    static let linkLocal: [UInt8] = [0xfe, 0x80] + [UInt8](repeating: 2, count: 14)

    static func best(_ all: [GID], source: [UInt8]? = nil, up: Set<Int> = [7]) -> Int? {
        GID.best(of: all, source: source.map { GID(bytes: $0) }, isUp: up.contains)?.index
    }

    @Test func ipv4ComesFirst() {
        let all = [Self.gid(0, Self.linkLocal), Self.gid(1, Self.global), Self.gid(2, Self.ipv4)]
        #expect(Self.best(all) == 2)
    }

    @Test func globalIPv6ComesBeforeTheLinks() {
        #expect(Self.best([Self.gid(0, Self.linkLocal), Self.gid(1, Self.global)]) == 1)
        #expect(Self.best([Self.gid(0, Self.linkLocal)]) == 0)
    }

    @Test func version1ComesLast() {
        let all = [Self.gid(0, Self.ipv4, .roceV1), Self.gid(1, Self.linkLocal, .roceV2)]
        #expect(Self.best(all) == 1)
        #expect(Self.best([all[0]]) == 0, "better than none")
    }

    @Test func theFirstAmongEquals() {
        #expect(Self.best([Self.gid(5, Self.otherIPv4), Self.gid(3, Self.ipv4)]) == 3)
    }

    @Test func theSourceDecides() {
        let all = [Self.gid(0, Self.ipv4), Self.gid(1, Self.otherIPv4), Self.gid(2, Self.linkLocal)]
        #expect(Self.best(all, source: Self.otherIPv4) == 1)
        #expect(Self.best(all, source: Self.linkLocal) == 2)
        #expect(Self.best(all, source: Self.global) == nil)
    }

    @Test func theSourceMayBeOfBothVersions() {
        #expect(Self.best([Self.gid(0, Self.ipv4, .roceV1), Self.gid(1, Self.ipv4)], source: Self.ipv4) == 1)
    }

    @Test func interfacesThatAreDownAreLeftOut() {
        let all = [Self.gid(0, Self.ipv4, interface: 8), Self.gid(1, Self.linkLocal, interface: 7)]
        #expect(Self.best(all) == 1)
        #expect(Self.best(all, up: []) == nil)
        #expect(Self.best(all, source: Self.ipv4) == nil)
    }

    @Test func infiniBandHasNoInterface() {
        #expect(Self.best([Self.gid(0, Self.linkLocal, .infiniBand, interface: 0)], up: []) == 0)
    }

    @Test func nothingComesOfNothing() { #expect(Self.best([]) == nil) }

    @Test func addressesAsText() {
        #expect(GID(bytes: Self.ipv4).description == "10.0.0.1")
        #expect(GID(bytes: Self.linkLocal).description == "fe80:202:202:202:202:202:202:202")
        #expect(GID(bytes: Self.ipv4).isIPv4 && !GID(bytes: Self.global).isIPv4)
        #expect(GID(bytes: Self.linkLocal).isLinkLocal && !GID(bytes: Self.global).isLinkLocal)
        #expect(GID(bytes: Self.ipv4).index == -1, "in no table of ours")
    }
}
