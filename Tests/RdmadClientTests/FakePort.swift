import RDMATransport
import RecordFormat
import TopicProtocol

@testable import RdmadClient

/// Plays a link: keeps what an agent posts and asks. One thread, no time of its own.
@safe final class FakePort: LinkPort, @unchecked Sendable {
    // Unchecked: a test uses it on one thread.
    struct Produce: Equatable {
        var id: UInt32
        var partition: Int
        var sequence: Int32
        var isEager: Bool
        var identity = ProducerIdentity()
        var address: UInt64 = 0
        var byteCount = 0
    }

    var messageBytesMax = 8184
    var trouble: ClientError?
    /// Posts that still find room.
    var room = Int.max
    var produces: [Produce] = []
    var credits: [UInt64] = []
    var asked: [(request: Request, answer: (Result<[UInt8], ClientError>) -> Void)] = []
    var dropped: ClientError?
    var failure: ClientError?
    private var lastID: UInt32 = 0
    /// The producer's memory, for the headers of batches that are pulled.
    var batch: (UInt64, Int) -> RecordBatchHeader? = { _, _ in nil }

    /// Told of each eager batch.
    var onBatch: (UnsafeRawBufferPointer) -> Void = { _ in }

    func nextRequestID() -> UInt32 {
        lastID += 1
        return lastID
    }

    func post(_ request: Request, id: UInt32) -> PostResult {
        guard room > 0 else { return .full }
        room -= 1
        switch request {
        case .produceEager(let partition, let bytes):
            let header = unsafe RecordBatchHeader(parsing: UnsafeRawBufferPointer(bytes))
            unsafe onBatch(UnsafeRawBufferPointer(bytes))
            produces.append(
                Produce(
                    id: id, partition: Int(partition.partition), sequence: header.baseSequence, isEager: true,
                    identity: ProducerIdentity(id: header.producerID, epoch: header.producerEpoch),
                    byteCount: bytes.count))
        case .produce(let partition, let byteCount, _, let address):
            produces.append(
                Produce(
                    id: id, partition: Int(partition.partition),
                    sequence: batch(address, Int(byteCount))?.baseSequence ?? -1,
                    isEager: false, address: address, byteCount: Int(byteCount)))
        case .ringCredit(let position): credits.append(position)
        default: fatalError("not posted by agents: \(request.name)")
        }
        return .posted
    }

    func ask(_ request: Request, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void) {
        asked.append((request, answer))
    }

    func ask(
        _ request: Request, timeoutNanoseconds: UInt64, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void
    ) { ask(request, answer) }

    func drop(_ why: ClientError) { dropped = why }
    func fail(_ error: ClientError) { failure = error }

    /// Answers the oldest request.
    func answer(_ body: (inout FrameWriter) -> Void = { _ in }) {
        let call = asked.removeFirst()
        let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            var writer = unsafe FrameWriter(UnsafeMutableRawBufferPointer(buffer))
            body(&writer)
            count = writer.count
        }
        call.answer(.success(bytes))
    }

    /// Refuses the oldest request.
    func refuse(_ error: ErrorCode) {
        let call = asked.removeFirst()
        call.answer(.failure(.refused(call.request.name, error, "")))
    }

    func takeProduces() -> [Produce] {
        defer { produces = [] }
        return produces
    }
}
