internal import CVerbs

/// What a device can do. Counts are per device unless named otherwise. Source: `ibv_query_device_ex(3)`.
public struct DeviceAttributes: Sendable {
    /// The firmware's version; empty where there is none.
    public let firmware: String
    /// Vendor, as PCI numbers them.
    public let vendor: UInt32
    /// The vendor's number for the part.
    public let vendorPart: UInt32
    /// Ports, numbered from 1.
    public let portCount: Int
    /// Queue pairs at once.
    public let queuePairsMax: Int
    /// Work requests per queue.
    public let workRequestsMax: Int
    /// Pieces per work request.
    public let scatterGatherMax: Int
    /// Completion queues at once.
    public let completionQueuesMax: Int
    /// Entries per completion queue.
    public let completionsMax: Int
    /// Registered regions at once.
    public let regionsMax: Int
    /// Longest region, in bytes.
    public let regionBytesMax: UInt64
    /// Memory windows at once; 0: none.
    public let windowsMax: Int
    /// Shared receive queues at once; 0: none.
    public let sharedReceiveQueuesMax: Int
    /// Receives per shared receive queue.
    public let sharedReceivesMax: Int
    /// RDMA READs and atomics that a queue pair serves at once.
    public let readsInFlightMax: Int
    /// RDMA READs and atomics that a queue pair asks at once.
    public let readsAsInitiatorMax: Int
    /// What the device has beside the ordinary.
    public let capabilities: DeviceCapabilities
    /// On-demand paging, by transport.
    public let onDemandPaging: OnDemandPaging
    /// True when atomics are atomic for others on the device at least.
    public let hasAtomics: Bool
    /// Frequency of completion timestamps, in kHz; 0: there are none.
    public let clockKilohertz: UInt64

    /// Which operations may touch memory that is not pinned.
    public struct OnDemandPaging: Sendable {
        /// True: all of the process's memory can be registered at once.
        public let isImplicit: Bool
        /// Operations of reliable connections.
        public let reliable: Operations
        /// Operations of unreliable connections.
        public let unreliable: Operations
        /// Operations of datagrams.
        public let datagram: Operations

        /// Bits of `enum ibv_odp_transport_cap_bits`.
        public struct Operations: OptionSet, Sendable {
            /// Bits of `enum ibv_odp_transport_cap_bits`.
            public let rawValue: UInt32
            /// Any bits.
            public init(rawValue: UInt32) { self.rawValue = rawValue }
            /// Sends.
            public static let send = Operations(rawValue: 1)
            /// Receives.
            public static let receive = Operations(rawValue: 2)
            /// RDMA writes.
            public static let write = Operations(rawValue: 4)
            /// RDMA reads.
            public static let read = Operations(rawValue: 8)
            /// Atomics.
            public static let atomic = Operations(rawValue: 16)
        }
    }
}

/// What a device has beside the ordinary. Source: `ibv_query_device(3)`.
public struct DeviceCapabilities: OptionSet, Sendable {
    /// Bits of `enum ibv_device_cap_flags`.
    public let rawValue: UInt64
    /// Any bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// Memory windows of type 1.
    public static let windows = DeviceCapabilities(rawValue: 1 << 17)
    /// XRC.
    public static let extendedReliable = DeviceCapabilities(rawValue: 1 << 20)
    /// Send with invalidate, local invalidate, fast registration.
    public static let memoryManagement = DeviceCapabilities(rawValue: 1 << 21)
    /// Memory windows of type 2A.
    public static let windows2A = DeviceCapabilities(rawValue: 1 << 23)
    /// Memory windows of type 2B.
    public static let windows2B = DeviceCapabilities(rawValue: 1 << 24)
    /// Flush of remote memory to where it is visible to all.
    public static let flushGlobal = DeviceCapabilities(rawValue: 1 << 38)
    /// Flush of remote memory to where it is persistent.
    public static let flushPersistent = DeviceCapabilities(rawValue: 1 << 39)
    /// Atomic write of eight bytes.
    public static let atomicWrite = DeviceCapabilities(rawValue: 1 << 40)
}

/// A port's state. Source: `ibv_query_port(3)`.
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
    /// Places in the port's table of partition keys.
    public let partitionKeyCount: Int
    /// The InfiniBand address; 0 on Ethernet.
    public let localIdentifier: UInt16
}

extension DeviceContext {
    /// What the device can do. Verb: `ibv_query_device_ex(3)`.
    public func attributes() throws(FabricError) -> DeviceAttributes {
        var extended = ibv_device_attr_ex()
        try VerbsCall.check(
            "ibv_query_device_ex", unsafe cverbs_query_device(raw, &extended), "cannot query \(name)")
        let plain = extended.orig_attr
        let paging = extended.odp_caps
        typealias Operations = DeviceAttributes.OnDemandPaging.Operations
        let hasPaging = paging.general_caps & 1 != 0
        return unsafe DeviceAttributes(
            firmware: withUnsafeBytes(of: plain.fw_ver) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            },
            vendor: plain.vendor_id, vendorPart: plain.vendor_part_id,
            portCount: Int(plain.phys_port_cnt), queuePairsMax: Int(plain.max_qp),
            workRequestsMax: Int(plain.max_qp_wr), scatterGatherMax: Int(plain.max_sge),
            completionQueuesMax: Int(plain.max_cq), completionsMax: Int(plain.max_cqe),
            regionsMax: Int(plain.max_mr), regionBytesMax: plain.max_mr_size, windowsMax: Int(plain.max_mw),
            sharedReceiveQueuesMax: Int(plain.max_srq), sharedReceivesMax: Int(plain.max_srq_wr),
            readsInFlightMax: Int(plain.max_qp_rd_atom), readsAsInitiatorMax: Int(plain.max_qp_init_rd_atom),
            capabilities: DeviceCapabilities(
                rawValue: extended.device_cap_flags_ex | UInt64(plain.device_cap_flags)),
            onDemandPaging: .init(
                isImplicit: hasPaging && paging.general_caps & 2 != 0,
                reliable: Operations(rawValue: hasPaging ? paging.per_transport_caps.rc_odp_caps : 0),
                unreliable: Operations(rawValue: hasPaging ? paging.per_transport_caps.uc_odp_caps : 0),
                datagram: Operations(rawValue: hasPaging ? paging.per_transport_caps.ud_odp_caps : 0)),
            hasAtomics: plain.atomic_cap != IBV_ATOMIC_NONE,
            clockKilohertz: extended.completion_timestamp_mask == 0 ? 0 : extended.hca_core_clock)
    }

    /// A port's state. Ports are numbered from 1. Verb: `ibv_query_port(3)`.
    public func port(_ number: Int) throws(FabricError) -> PortAttributes {
        var raw = ibv_port_attr()
        guard let index = UInt8(exactly: number) else {
            throw FabricError(.address, operation: "ibv_query_port", "\(name) has no port \(number)")
        }
        let result = unsafe cverbs_query_port(self.raw, index, &raw)
        try VerbsCall.check("ibv_query_port", result, "cannot query port \(number) of \(name)")
        return PortAttributes(
            isActive: raw.state == IBV_PORT_ACTIVE, mtuBytes: 128 << Int(raw.active_mtu.rawValue),
            messageBytesMax: Int(raw.max_msg_sz), isEthernet: Int32(raw.link_layer) == IBV_LINK_LAYER_ETHERNET.rawCode,
            gidCount: Int(raw.gid_tbl_len), partitionKeyCount: Int(raw.pkey_tbl_len), localIdentifier: raw.lid)
    }
}
