-- Leases due rows of one partition, fairly from its lanes. ARGV: now, until, node, most rows for iOS, most for Android,
-- whose turn it is, then the beginnings of lanes that are held.
-- The clocks of nodes differ, so a row that another node holds is left to it until its lease has run out by the clock of
-- Redis, too. A lease is: node, blank, until. Answers when the next row is due, the rows (id, how often it was leased
-- and not finished, state, attempts, body), and how many of them are for iOS.
-- Rows are taken from all service lanes and this many others; so many lanes are looked through for those not held.
local LANES_MAX, LOOKED_MAX, PAGE = 64, 8192, 256
local p, index = KEYS[1], KEYS[1] .. ':rt'
local now, till, node, turn = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[6])
local room = {i = tonumber(ARGV[4]), a = tonumber(ARGV[5])}
local time = redis.call('TIME')
local clock = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local lasts = tonumber(till) - tonumber(now)
local rows = {}

local held = {}
for at = 7, #ARGV do held[ARGV[at]] = true end

-- Whether a beginning of the name, after the class, is held.
local function is_held(lane)
  local ends = #ARGV >= 7 and string.find(lane, '\31', 2, true)
  while ends do
    if held[string.sub(lane, 2, ends)] then return true end
    ends = string.find(lane, '\31', ends + 1, true)
  end
  return false
end

-- Takes up to `limit` rows of a lane; false when it had less.
local function lease(lane, limit)
  local due, taken = index .. ':' .. lane, 0
  local ids = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    local key = p .. ':d:' .. id
    local row = redis.call('HMGET', key, 'n', 's', 'a', 'b', 'l', 'u')
    local holder = row[5] and string.match(row[5], '^%S+') or node
    local left = holder ~= node and tonumber(row[6]) - clock or 0
    if not row[2] then
      redis.call('ZREM', due, id)
    elseif left > 0 then
      redis.call('ZADD', due, string.format('%.0f', tonumber(now) + left), id)
    else
      redis.call('ZADD', due, till, id)
      redis.call('HSET', key, 'l', node .. ' ' .. till, 'u', string.format('%.0f', clock + lasts), 'd', now,
        'n', (row[1] or 0) + 1)
      rows[#rows + 1] = {id, row[1] or '0', row[2], row[3], row[4]}
      taken = taken + 1
    end
  end
  local letter = string.sub(lane, 2, 2)
  room[letter] = room[letter] - taken
  return #ids == limit
end

-- Lanes with due rows, by class and workspace.
local classes = {['0'] = {}, ['1'] = {}}
local due_lanes, looked, marketing = {}, 0, 0
repeat
  local page = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', looked, PAGE)
  for _, lane in ipairs(page) do
    local is_service = string.sub(lane, 1, 1) == '0'
    if (is_service or marketing < LANES_MAX) and not is_held(lane) then
      due_lanes[#due_lanes + 1] = lane
      if not is_service then marketing = marketing + 1 end
    end
  end
  looked = looked + #page
until #page < PAGE or looked >= LOOKED_MAX
table.sort(due_lanes)
for _, lane in ipairs(due_lanes) do
  local workspaces = classes[string.sub(lane, 1, 1)]
  local name = string.match(lane, '^..\31([^\31]*)\31')
  local last = workspaces[#workspaces]
  if not last or last.name ~= name then
    local at
    for _, one in ipairs(workspaces) do if one.name == name then at = one end end
    last = at or {name = name, lanes = {}}
    if not at then workspaces[#workspaces + 1] = last end
  end
  last.lanes[#last.lanes + 1] = lane
end

-- One row after the other, from workspaces in turn, and from the lanes of each in turn.
for _, class in ipairs({'0', '1'}) do
  local workspaces = classes[class]
  local step = turn
  while #workspaces > 0 and (room.i > 0 or room.a > 0) do
    local at = step % #workspaces + 1
    local lanes = workspaces[at].lanes
    local which = math.floor(step / #workspaces) % #lanes + 1
    local lane = lanes[which]
    local left = room[string.sub(lane, 2, 2)]
    -- A lane that is alone gives all at once.
    local share = #workspaces == 1 and #lanes == 1 and left or math.min(left, 1)
    if share <= 0 or not lease(lane, share) then
      table.remove(lanes, which)
      if #lanes == 0 then table.remove(workspaces, at) end
    end
    step = step + 1
  end
end

for _, lane in ipairs(due_lanes) do
  local first = redis.call('ZRANGE', index .. ':' .. lane, 0, 0, 'WITHSCORES')[2]
  if first then redis.call('ZADD', index, first, lane) else redis.call('ZREM', index, lane) end
end
local next, at = '', 0
repeat
  -- The first one mostly will do.
  local count = at == 0 and 1 or PAGE
  local lanes = redis.call('ZRANGE', index, at, at + count - 1, 'WITHSCORES')
  for one = 1, #lanes, 2 do
    if not is_held(lanes[one]) then
      next = lanes[one + 1]
      break
    end
  end
  at = at + count
until next ~= '' or #lanes < 2 * count or at >= LOOKED_MAX
return {next, rows, tonumber(ARGV[4]) - room.i}
