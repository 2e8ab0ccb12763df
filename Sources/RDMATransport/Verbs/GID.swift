internal import CVerbs
import Glibc

/// An address of a port.
public struct GID: Sendable, Hashable, CustomStringConvertible {
    /// How packets to the address are framed.
    public enum Kind: String, Sendable {
        case infiniBand = "IB"
        case roceV1 = "RoCE v1"
        case roceV2 = "RoCE v2"
    }
    /// Place in the port's table; −1 for an address that is not in one of ours.
    public let index: Int
    /// 16 bytes, network order.
    public let bytes: [UInt8]
    /// How packets to it are framed.
    public let kind: Kind
    /// The network interface it belongs to, as the kernel numbers them; 0 when there is none.
    public let interfaceIndex: Int

    /// An address from 16 bytes of a peer's.
    public init(bytes: [UInt8], kind: Kind = .roceV2) {
        self.init(index: -1, bytes: bytes, kind: kind, interfaceIndex: 0)
    }

    init(index: Int, bytes: [UInt8], kind: Kind, interfaceIndex: Int) {
        precondition(bytes.count == 16, "a GID is 16 bytes")
        self.index = index
        self.bytes = bytes
        self.kind = kind
        self.interfaceIndex = interfaceIndex
    }

    /// The address of an IPv4 host, from its four numbers.
    public init(ipv4 address: (UInt8, UInt8, UInt8, UInt8)) {
        let head: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
        self.init(bytes: head + [address.0, address.1, address.2, address.3])
    }

    /// True for an IPv4 address in IPv6 form.
    public var isIPv4: Bool { bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff }
    /// True for an address that is good on one link only.
    public var isLinkLocal: Bool { bytes[0] == 0xfe && bytes[1] & 0xc0 == 0x80 }

    /// The address as text: `10.9.0.1`, or eight groups of hexadecimal digits.
    public var description: String {
        if isIPv4 { return bytes[12...].map(String.init).joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2)
            .map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }.joined(separator: ":")
    }

    /// Lower is better, for connections to anywhere: RoCE v2 over IPv4, over IPv6, link-local, then RoCE v1.
    var rank: Int {
        switch kind {
        case .infiniBand: 0
        case .roceV2: isIPv4 ? 0 : isLinkLocal ? 2 : 1
        case .roceV1: 3
        }
    }

    /// The one that ``DeviceContext/selectGID(port:source:)`` takes; an address without an interface is always up.
    static func best(of all: [GID], source: GID?, isUp: (Int) -> Bool) -> GID? {
        all.filter { source == nil || $0.bytes == source!.bytes }
            .filter { $0.interfaceIndex == 0 || isUp($0.interfaceIndex) }
            .min { ($0.rank, $0.index) < ($1.rank, $1.index) }
    }

    var raw: ibv_gid {
        var raw = ibv_gid()
        unsafe bytes.withUnsafeBufferPointer { unsafe cverbs_set_gid(&raw, $0.baseAddress) }
        return raw
    }

    func addressVector(port: Int, localGIDIndex: Int, hopLimit: UInt8) -> ibv_ah_attr {
        var vector = ibv_ah_attr()
        vector.grh.dgid = raw
        vector.grh.sgid_index = UInt8(localGIDIndex)
        vector.grh.hop_limit = hopLimit
        vector.is_global = 1
        vector.port_num = UInt8(port)
        return vector
    }
}

extension DeviceContext {
    /// The port's addresses, in table order, without the empty ones. Verb: `ibv_query_gid_ex(3)`.
    public func gids(port: Int) throws(FabricError) -> [GID] {
        var result: [GID] = []
        for index in 0..<min(try self.port(port).gidCount, 1024) {
            var entry = ibv_gid_entry()
            guard unsafe cverbs_query_gid_entry(raw, UInt32(port), UInt32(index), &entry) == 0 else { continue }
            let bytes = unsafe withUnsafeBytes(of: entry.gid.raw) { unsafe Array($0) }
            guard bytes.contains(where: { $0 != 0 }) else { continue }
            let kind: GID.Kind = entry.gid_type == 2 ? .roceV2 : entry.gid_type == 1 ? .roceV1 : .infiniBand
            result.append(GID(index: index, bytes: bytes, kind: kind, interfaceIndex: Int(entry.ndev_ifindex)))
        }
        return result
    }

    /// The address to send from: RoCE v2 over IPv4 before IPv6, link-local addresses after those, RoCE v1 last; among
    /// equals the first of the table. Addresses of network interfaces that are down do not count. Never hard-code an
    /// index: they change with the interface's addresses.
    /// - Parameter source: Only this address, such as the one a socket is bound to.
    /// - Throws: ``FabricError`` with code `address` when the port has none that fits.
    public func selectGID(port: Int = 1, source: GID? = nil) throws(FabricError) -> GID {
        let all = try gids(port: port)
        let up = Self.interfacesUp()
        guard let best = GID.best(of: all, source: source, isUp: up.contains) else {
            let isDown = GID.best(of: all, source: source, isUp: { _ in true }) != nil
            throw FabricError(
                .address, operation: "ibv_query_gid_ex",
                isDown
                    ? "the network interface of port \(port) of \(name) is down (ip link set ... up)"
                    : source == nil
                        ? "port \(port) of \(name) has no address: give its network interface one (ip addr add)"
                        : "port \(port) of \(name) does not have the address \(source!)")
        }
        return best
    }

    /// Numbers of the network interfaces that are up. Source: `getifaddrs(3)`.
    private static func interfacesUp() -> Set<Int> {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard unsafe getifaddrs(&list) == 0 else { return [] }
        defer { unsafe freeifaddrs(list) }
        var up: Set<Int> = []
        var entry = unsafe list
        while let current = unsafe entry {
            if unsafe current.pointee.ifa_flags & 1 /* IFF_UP */ != 0 {
                up.insert(Int(unsafe if_nametoindex(current.pointee.ifa_name)))
            }
            unsafe entry = unsafe current.pointee.ifa_next
        }
        return up
    }
}
