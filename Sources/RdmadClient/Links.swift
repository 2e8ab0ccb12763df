internal import RDMATransport
internal import TopicProtocol

/// Opens a link to a broker, on the fabric that its address names.
enum Links {
    /// Starts the link's thread, which connects. The agent learns how it went.
    static func open(
        _ address: BrokerAddress, agent: any LinkAgent, patience: LinkPatience, clientID: String = "",
        fabric configuration: FabricConfiguration = .client
    ) -> LinkHandle {
        let handle = LinkHandle(standbyMillisecondsMax: agent.standbyMillisecondsMax)
        agent.attach(handle)
        let hello = Handshake.hello(clientID: clientID)
        switch address {
        case .sharedMemory(let path):
            start(handle, agent, address, patience) { () throws(FabricError) in
                let fabric = try SharedMemoryFabric(configuration: configuration)
                return (fabric, try fabric.connect(path: path, privateData: hello))
            }
        case .rdma(let host, let port):
            start(handle, agent, address, patience) { () throws(FabricError) in
                let fabric = try VerbsFabric(towards: host, port: port, configuration: configuration)
                return (fabric, try fabric.connect(host: host, port: port, privateData: hello))
            }
        }
        return handle
    }

    private static func start<F: Fabric>(
        _ handle: LinkHandle, _ agent: any LinkAgent, _ address: BrokerAddress, _ patience: LinkPatience,
        open: @escaping () throws(FabricError) -> (F, ConnectionID)
    ) {
        handle.start(Link(handle: handle, agent: agent, address: address, patience: patience, open: open))
    }

    /// Refuses names and numbers that do not fit into a frame.
    static func check(topic name: String) throws(ClientError) {
        guard name.utf8.count <= FrameLimits.topicNameBytesMax else {
            let limit = FrameLimits.topicNameBytesMax
            throw ClientError(.limit, "a topic name of \(name.utf8.count) bytes, at most \(limit) are allowed")
        }
    }

    static func check(_ partitions: some Sequence<TopicPartition>) throws(ClientError) {
        for name in partitions {
            try check(topic: name.topic)
            guard UInt32(exactly: name.partition) != nil else {
                throw ClientError(.limit, "topic \(name.topic) has no partition \(name.partition)")
            }
        }
    }

    /// Refuses a client id that does not fit into the handshake.
    static func check(clientID: String) throws(ClientError) {
        guard clientID.utf8.count <= Handshake.clientIDBytesMax, !clientID.utf8.contains(0) else {
            throw ClientError(
                .limit, "a client id has at most \(Handshake.clientIDBytesMax) bytes, this one \(clientID.utf8.count)")
        }
    }
}

/// How long a link tries before it gives up, in nanoseconds.
struct LinkPatience: Sendable {
    /// For the first connection.
    let connectNanoseconds: UInt64
    /// For another one, when the connection was lost.
    let reconnectNanoseconds: UInt64

    /// For an answer to one request.
    static let answerNanoseconds: UInt64 = 30_000_000_000

    init(connectSeconds: Double, reconnectSeconds: Double) {
        connectNanoseconds = Self.nanoseconds(connectSeconds)
        reconnectNanoseconds = Self.nanoseconds(reconnectSeconds)
    }

    /// Seconds as nanoseconds; what is negative or no number is 0, and thirty years stand for ever (adding them to the
    /// clock does not overflow).
    static func nanoseconds(_ seconds: Double) -> UInt64 { UInt64((max(0, min(seconds, 1e9))) * 1e9) }
}
