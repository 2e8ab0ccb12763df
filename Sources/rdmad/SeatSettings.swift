import ArgumentParser
import FabricFrontend

/// The seats of `rdmad serve`: docs/settings.md lists them.
struct SeatSettings: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Places for the pods of this node, each with a socket DIRECTORY/seat-N/rdmad.sock (N from 0) that says who "
                + "the client is; 0 for none.", valueName: "count"))
    var seats = 0

    @Option(help: ArgumentHelp("Where the seats are. Created if missing.", valueName: "directory"))
    var seatDirectory = "/run/rdmad/seats"

    @Option(help: "Connections of each seat, in place of --max-connections.")
    var maxConnectionsPerSeat = 16

    func validate() throws {
        guard (0...Seats.countMax).contains(seats) else {
            throw ValidationError("--seats is 0 to \(Seats.countMax), not \(seats)")
        }
        guard maxConnectionsPerSeat > 0, maxConnectionsPerSeat * max(seats, 1) <= 65_000 else {
            throw ValidationError("--max-connections-per-seat is at least 1, and at most 65000 for all seats")
        }
        guard seatDirectory.hasPrefix("/"), !seatDirectory.hasSuffix("/") else {
            throw ValidationError("--seat-directory is an absolute path without a slash at its end")
        }
    }

    /// Nil when there are none.
    var options: Seats? {
        seats == 0 ? nil : Seats(directory: seatDirectory, count: seats, connectionsMax: maxConnectionsPerSeat)
    }
}
