internal import Glibc
internal import RDMATransport

/// Places for the pods of a node: each has a directory with a socket of its own, and the socket says who the client is.
/// What a client says of itself does not count there.
///
/// A pod has its seat's directory mounted and can reach no other. The directories stay when a broker ends: pods go on
/// with the next broker's sockets.
package struct Seats: Sendable {
    /// Most seats of a node.
    package static let countMax = 1024
    /// Where the seats' directories are.
    package var directory: String
    /// 1...``countMax``.
    package var count: Int
    /// Connections of each seat.
    package var connectionsMax: Int

    package init(directory: String, count: Int, connectionsMax: Int) {
        self.directory = directory
        self.count = count
        self.connectionsMax = connectionsMax
    }

    /// The identity of a seat's clients.
    static func name(_ number: Int) -> String { "seat-\(number)" }

    /// Connections of all seats.
    var totalConnectionsMax: Int { count * connectionsMax }

    var address: String { "shm://\(directory)/seat-0...\(count - 1)/rdmad.sock" }

    /// Listens at all seats, in their order.
    func listen(_ fabric: SharedMemoryFabric) throws(FabricError) {
        // Nobody on the node goes past this directory but root and we; a mounted seat is reached without it.
        try Self.makeDirectory(directory, mode: 0o700)
        for number in 0..<count {
            let path = "\(directory)/\(Self.name(number))"
            // Pods run as any user: they may come to the socket, and not replace it.
            try Self.makeDirectory(path, mode: 0o755)
            guard unsafe chmod(path, 0o755) == 0 else { throw Self.error(path) }
            try fabric.listen(path: "\(path)/rdmad.sock", mode: 0o666)
        }
    }

    /// Others of the node's users may go past the directory: it was there before us.
    var isOpenToOthers: Bool {
        var found = stat()
        return unsafe lstat(directory, &found) == 0 && found.st_mode & 0o077 != 0
    }

    /// One that is there may be used when it is a directory of ours: nobody else can have put sockets into it.
    private static func makeDirectory(_ path: String, mode: mode_t) throws(FabricError) {
        guard unsafe mkdir(path, mode) != 0 else { return }
        var found = stat()
        guard errno == EEXIST, unsafe lstat(path, &found) == 0 else { throw error(path) }
        guard found.st_mode & S_IFMT == S_IFDIR, found.st_uid == geteuid() else {
            throw FabricError(
                .address, operation: "mkdir", "\(path) is no directory, or not one of user \(geteuid())'s")
        }
    }

    private static func error(_ path: String) -> FabricError {
        FabricError(.address, operation: "mkdir", errorNumber: errno, "cannot make the directory \(path)")
    }
}
