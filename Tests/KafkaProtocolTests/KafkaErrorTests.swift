import KafkaProtocol
import Testing

/// Codes and names are Kafka's: clients act on the code, people search for the name.
@Suite struct KafkaErrorTests {
    static let some: [(KafkaError, Int16, String)] = [
        (.unknownServerError, -1, "UNKNOWN_SERVER_ERROR"), (.none, 0, "NONE"),
        (.offsetOutOfRange, 1, "OFFSET_OUT_OF_RANGE"), (.notLeaderOrFollower, 6, "NOT_LEADER_OR_FOLLOWER"),
        (.coordinatorLoadInProgress, 14, "COORDINATOR_LOAD_IN_PROGRESS"), (.notCoordinator, 16, "NOT_COORDINATOR"),
        (.invalidTopicException, 17, "INVALID_TOPIC_EXCEPTION"), (.illegalGeneration, 22, "ILLEGAL_GENERATION"),
        (.unknownMemberId, 25, "UNKNOWN_MEMBER_ID"), (.rebalanceInProgress, 27, "REBALANCE_IN_PROGRESS"),
        (.unsupportedVersion, 35, "UNSUPPORTED_VERSION"),
        (.outOfOrderSequenceNumber, 45, "OUT_OF_ORDER_SEQUENCE_NUMBER"),
        (.kafkaStorageError, 56, "KAFKA_STORAGE_ERROR"), (.unknownProducerId, 59, "UNKNOWN_PRODUCER_ID"),
        (.fencedLeaderEpoch, 74, "FENCED_LEADER_EPOCH"), (.memberIdRequired, 79, "MEMBER_ID_REQUIRED"),
        (.producerFenced, 90, "PRODUCER_FENCED"), (.unknownTopicId, 100, "UNKNOWN_TOPIC_ID"),
        (.staleMemberEpoch, 113, "STALE_MEMBER_EPOCH"), (.transactionAbortable, 120, "TRANSACTION_ABORTABLE"),
    ]

    @Test(arguments: some)
    func codesAndNames(_ error: KafkaError, _ code: Int16, _ name: String) {
        #expect(error.rawValue == code)
        #expect(error.name == name)
    }
}
