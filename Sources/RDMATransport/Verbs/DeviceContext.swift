internal import CVerbs

/// An open RDMA device. Everything made from it keeps it open.
///
/// - Threading: thread-safe, as libibverbs is.
@safe public final class DeviceContext: @unchecked Sendable {
    let raw: UnsafeMutablePointer<ibv_context>
    /// librdmacm opens devices for itself and never closes them; ours are closed.
    private let isOwned: Bool

    /// Opens a device by name, such as `rxe0`. Verb: `ibv_open_device(3)`.
    public init(name: String) throws(FabricError) {
        var count: Int32 = 0
        guard let list = unsafe cverbs_get_device_list(&count) else {
            throw FabricError(.noDevice, operation: "ibv_get_device_list", "this kernel has no RDMA support")
        }
        defer { unsafe ibv_free_device_list(list) }
        for index in 0..<Int(count) where unsafe String(cString: ibv_get_device_name(list[index]!)) == name {
            unsafe raw = try VerbsCall.nonNull("ibv_open_device", ibv_open_device(list[index]), "cannot open \(name)")
            isOwned = true
            return
        }
        throw FabricError(.noDevice, operation: "ibv_open_device", "there is no RDMA device named \(name)")
    }

    init(borrowing raw: UnsafeMutablePointer<ibv_context>) {
        unsafe self.raw = raw
        isOwned = false
    }

    deinit { if isOwned { unsafe ibv_close_device(raw) } }

    /// The device's name, such as `mlx5_0`.
    public var name: String { unsafe String(cString: ibv_get_device_name(raw.pointee.device)) }

    /// What the device can do. Verb: `ibv_query_device(3)`.
    public func attributes() throws(FabricError) -> DeviceAttributes {
        var raw = ibv_device_attr()
        try VerbsCall.check("ibv_query_device", unsafe ibv_query_device(self.raw, &raw), "cannot query \(name)")
        return unsafe DeviceAttributes(
            firmware: withUnsafeBytes(of: raw.fw_ver) { unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) },
            portCount: Int(raw.phys_port_cnt), queuePairsMax: Int(raw.max_qp), workRequestsMax: Int(raw.max_qp_wr),
            scatterGatherMax: Int(raw.max_sge), completionsMax: Int(raw.max_cqe), regionsMax: Int(raw.max_mr),
            regionBytesMax: raw.max_mr_size, readsInFlightMax: Int(raw.max_qp_rd_atom),
            readsAsInitiatorMax: Int(raw.max_qp_init_rd_atom))
    }

    /// A port's state. Ports are numbered from 1. Verb: `ibv_query_port(3)`.
    public func port(_ number: Int) throws(FabricError) -> PortAttributes {
        var raw = ibv_port_attr()
        let result = unsafe cverbs_query_port(self.raw, UInt8(number), &raw)
        try VerbsCall.check("ibv_query_port", result, "cannot query port \(number) of \(name)")
        return PortAttributes(
            isActive: raw.state == IBV_PORT_ACTIVE, mtuBytes: 128 << Int(raw.active_mtu.rawValue),
            messageBytesMax: Int(raw.max_msg_sz), isEthernet: Int32(raw.link_layer) == IBV_LINK_LAYER_ETHERNET.rawCode,
            gidCount: Int(raw.gid_tbl_len))
    }

    /// The port's addresses, in table order, without the empty ones. Verb: `ibv_query_gid_ex(3)`.
    public func gids(port: Int) throws(FabricError) -> [GID] {
        var result: [GID] = []
        for index in 0..<min(try self.port(port).gidCount, 1024) {
            var entry = ibv_gid_entry()
            guard unsafe cverbs_query_gid_entry(raw, UInt32(port), UInt32(index), &entry) == 0 else { continue }
            let bytes = unsafe withUnsafeBytes(of: entry.gid.raw) { unsafe Array($0) }
            guard bytes.contains(where: { $0 != 0 }) else { continue }
            let kind: GID.Kind = entry.gid_type == 2 ? .roceV2 : entry.gid_type == 1 ? .roceV1 : .infiniBand
            result.append(GID(index: index, bytes: bytes, kind: kind))
        }
        return result
    }

    /// Names of the devices that this kernel knows, in its order. Empty when there is none or no RDMA support.
    public static func deviceNames() -> [String] {
        var count: Int32 = 0
        guard let list = unsafe cverbs_get_device_list(&count) else { return [] }
        defer { unsafe ibv_free_device_list(list) }
        return (0..<Int(count)).map { unsafe String(cString: ibv_get_device_name(list[$0]!)) }
    }
}

extension RawRepresentable where RawValue: BinaryInteger {
    /// C enums and C constants arrive with different integer types.
    var rawCode: Int32 { Int32(rawValue) }
}
extension BinaryInteger {
    var rawCode: Int32 { Int32(self) }
}

/// What a device can do. Counts are per device unless named otherwise.
public struct DeviceAttributes: Sendable {
    /// The firmware's version; empty where there is none.
    public let firmware: String
    /// Ports, numbered from 1.
    public let portCount: Int
    /// Queue pairs at once.
    public let queuePairsMax: Int
    /// Work requests per queue.
    public let workRequestsMax: Int
    /// Pieces per work request.
    public let scatterGatherMax: Int
    /// Entries per completion queue.
    public let completionsMax: Int
    /// Registered regions at once.
    public let regionsMax: Int
    /// Longest region, in bytes.
    public let regionBytesMax: UInt64
    /// RDMA READs and atomics that a queue pair serves at once.
    public let readsInFlightMax: Int
    /// RDMA READs and atomics that a queue pair asks at once.
    public let readsAsInitiatorMax: Int
}

/// A port's state.
public struct PortAttributes: Sendable {
    /// True when packets can be sent.
    public let isActive: Bool
    /// Path MTU that the port's link allows, in bytes.
    public let mtuBytes: Int
    /// Longest message of any kind, in bytes.
    public let messageBytesMax: Int
    /// True for RoCE and iWARP, false for InfiniBand.
    public let isEthernet: Bool
    /// Places in the port's table of addresses, empty ones included.
    public let gidCount: Int
}

/// An address of a port.
public struct GID: Sendable, Hashable, CustomStringConvertible {
    /// How packets to the address are framed.
    public enum Kind: String, Sendable {
        case infiniBand = "IB"
        case roceV1 = "RoCE v1"
        case roceV2 = "RoCE v2"
    }
    /// Place in the port's table.
    public let index: Int
    /// 16 bytes, network order.
    public let bytes: [UInt8]
    /// How packets to it are framed.
    public let kind: Kind

    /// True for an IPv4 address in IPv6 form.
    public var isIPv4: Bool { bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff }

    /// The address as text: `10.9.0.1`, or eight groups of hexadecimal digits.
    public var description: String {
        if isIPv4 { return bytes[12...].map(String.init).joined(separator: ".") }
        return stride(from: 0, to: 16, by: 2)
            .map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }.joined(separator: ":")
    }
}
