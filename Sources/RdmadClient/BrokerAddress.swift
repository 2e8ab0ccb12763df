/// Where a broker listens.
public enum BrokerAddress: Sendable, Hashable, CustomStringConvertible {
    /// On this node: the path of a Unix socket.
    case sharedMemory(path: String)
    /// Anywhere: an address of an RDMA device.
    case rdma(host: String, port: UInt16)

    /// The port when none is given.
    public static let defaultPort: UInt16 = 9440

    /// Parses `shm:///PATH` or `rdma://HOST[:PORT]`; an IPv6 host stands in brackets.
    public init(_ text: String) throws(ClientError) {
        func refuse(_ why: String) -> ClientError {
            ClientError(.address, "'\(text)' is not a broker's address: \(why) (shm:///PATH or rdma://HOST[:PORT])")
        }
        if text.hasPrefix("shm://") {
            let path = String(text.dropFirst("shm://".count))
            guard path.hasPrefix("/"), path.utf8.count <= 107 else {
                throw refuse("the path is absolute, at most 107 bytes")
            }
            self = .sharedMemory(path: path)
        } else if text.hasPrefix("rdma://") {
            var rest = text.dropFirst("rdma://".count)
            while rest.last == "/" { rest.removeLast() }
            guard !rest.contains("/") else { throw refuse("nothing follows the port") }
            let isBracketed = rest.hasPrefix("[")
            let close = isBracketed ? rest.firstIndex(of: "]") : nil
            if isBracketed, close == nil { throw refuse("a bracket is not closed") }
            let colon = rest[(close ?? rest.startIndex)...].lastIndex(of: ":")
            let host =
                isBracketed ? rest[rest.index(after: rest.startIndex)..<close!] : rest[..<(colon ?? rest.endIndex)]
            if let close, rest.index(after: close) != (colon ?? rest.endIndex) {
                throw refuse("a bracket is followed by :PORT")
            }
            guard isBracketed || !host.contains(":") else { throw refuse("an IPv6 host stands in brackets") }
            guard !host.isEmpty else { throw refuse("there is no host") }
            var port = Self.defaultPort
            if let colon {
                guard let number = UInt16(rest[rest.index(after: colon)...]), number > 0 else {
                    throw refuse("the port is a number up to 65535")
                }
                port = number
            }
            self = .rdma(host: String(host), port: port)
        } else {
            throw refuse("unknown scheme")
        }
    }

    /// What ``init(_:)`` parses.
    public var description: String {
        switch self {
        case .sharedMemory(let path): "shm://\(path)"
        case .rdma(let host, let port): host.contains(":") ? "rdma://[\(host)]:\(port)" : "rdma://\(host):\(port)"
        }
    }
}
