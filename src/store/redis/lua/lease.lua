-- Leases due rows of one partition, the longest due first. ARGV: now, until, limit, node.
-- The clocks of nodes differ, so a row that another node holds is left to it until its lease has run out by the clock of
-- Redis, too. A lease is: node, blank, until. Answers when the next row is due and the rows: id, how often it was leased
-- and not finished, state, attempts, body.
local p, due, node = KEYS[1], KEYS[1] .. ':rt', ARGV[4]
local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lasts = tonumber(ARGV[2]) - tonumber(ARGV[1])
local rows = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', due, '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  local key = p .. ':d:' .. id
  local row = redis.call('HMGET', key, 'n', 's', 'a', 'b', 'l', 'u')
  local holder = row[5] and string.match(row[5], '^%S+') or node
  local left = holder ~= node and tonumber(row[6]) - clock or 0
  if not row[2] then
    redis.call('ZREM', due, id)
  elseif left > 0 then
    redis.call('ZADD', due, string.format('%.0f', tonumber(ARGV[1]) + left), id)
  else
    redis.call('ZADD', due, ARGV[2], id)
    redis.call('HSET', key, 'l', node .. ' ' .. ARGV[2], 'u', string.format('%.0f', clock + lasts), 'd', ARGV[1],
      'n', (row[1] or 0) + 1)
    rows[#rows + 1] = {id, row[1] or '0', row[2], row[3], row[4]}
  end
end
return {redis.call('ZRANGE', due, 0, 0, 'WITHSCORES')[2] or '', rows}
