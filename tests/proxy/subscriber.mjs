// Publishes and subscribes with mqtt.js, in the version of MQTT that it is given; prints what it has seen as JSON.
import mqtt from 'mqtt'

const [url, version, username, password, topic] = process.argv.slice(2)
const protocolVersion = Number(version)
const protocolId = protocolVersion === 3 ? 'MQIsdp' : 'MQTT'
const client = await mqtt.connectAsync(url, { username, password, protocolVersion, protocolId, reconnectPeriod: 0 })
const seen = []
client.on('message', (name, payload, packet) =>
  seen.push({ topic: name, payload: payload.toString(), qos: packet.qos, properties: packet.properties ?? null }))
const granted = await client.subscribeAsync(topic, { qos: 2, ...(protocolVersion === 5 && { properties: { subscriptionIdentifier: 5 } }) })
for (const qos of [0, 1, 2]) {
  const properties = protocolVersion === 5 ? { userProperties: { unit: '°C' }, contentType: 'text/plain' } : undefined
  await client.publishAsync(topic, `${qos}`, { qos, properties })
}
const refused = await client.publishAsync('elsewhere', '1', { qos: 1 }).then(packet => packet?.reasonCode ?? 0, problem => problem.code)
while (seen.length < 3) await new Promise(resolve => setTimeout(resolve, 20))
await client.endAsync()
console.log(JSON.stringify({ granted: granted.map(each => each.qos), refused, seen }))
