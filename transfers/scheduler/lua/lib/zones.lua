-- zones: traffic between zones costs money, so where a job keeps to its own zone, a shard crosses into each zone once and
-- spreads there from node to node. Who has waited long, and gets nothing meanwhile, takes from anywhere.
--
-- n:<i> zone           the node's label "zone", '' where it has none
-- zones, zone:<zone>   set: every zone; bitmap: nodes of the zone
-- j:<job>:into:<zone>  bitmap: shards that the zone has or that are on their way there; only where the job keeps to zones

local function zone_key(zone) return P .. 'zone:' .. zone end
local function into_key(j, zone) return j.key .. ':into:' .. zone end

-- The node is of this zone from now on.
function enter_zone(i, before, zone)
  if before and before ~= zone then
    call('SETBIT', zone_key(before), i, 0)
  end
  call('SADD', P .. 'zones', zone)
  call('SETBIT', zone_key(zone), i, 1)
end

function forget_zones(j)
  for _, zone in ipairs(call('SMEMBERS', P .. 'zones')) do
    call('UNLINK', into_key(j, zone))
  end
end

-- Whether src and i are in different zones and the job minds.
function crosses(j, src, i)
  return j.own_zone == 1 and N[src].zone ~= N[i].zone
end

-- The nodes that i should rather read from: those of its zone, as a bitmap's key; nil when the job does not mind.
function near(j, i)
  return j.own_zone == 1 and zone_key(N[i].zone) or nil
end

-- What was under way into one zone for one job when it was last asked for in this call: shard -> transfers.
local looked_call, looked_job, looked_zone, coming

-- Whether somebody in the zone receives s. O(nodes of the zone), once in a call that loses something.
local function comes_into(j, zone, s)
  if looked_call ~= calls or looked_job ~= j or looked_zone ~= zone then
    looked_call, looked_job, looked_zone, coming = calls, j, zone, {}
    for _, i in ipairs(all_bits(call('GET', zone_key(zone)) or '')) do
      for _, l in ipairs(N[text_of(i)]._takes) do
        if l._job == j.id then
          coming[l._shard] = (coming[l._shard] or 0) + 1
        end
      end
    end
  end
  return (coming[s] or 0) > 0
end

-- For jobs that keep to zones. Node i has shard s, or will have it.
function brought_into_zone(j, i, s)
  call('SETBIT', into_key(j, N[i].zone), s, 1)
  looked_job = nil
end

-- A transfer of s to node i is over.
function came_into_zone(j, i, s)
  if looked_call == calls and looked_job == j and looked_zone == N[i].zone then
    coming[s] = coming[s] - 1
  end
end

-- Node i does not have s, or will not: it may cross into the zone again, if nobody else there has or receives it.
function lost_to_zone(j, i, s)
  if j.own_zone == 1 then
    local zone = N[i].zone
    if not both(j.hold[s], zone_key(zone)):find('[^%z]') and not comes_into(j, zone, s) then
      call('SETBIT', into_key(j, zone), s, 0)
    end
  end
end

function may_cross(j, i, s) return call('GETBIT', into_key(j, N[i].zone), s) == 0 end

-- What src has and i needs and nobody in i's zone has.
function shards_to_cross(j, src, i)
  return without(j.have[src], j.have[i], into_key(j, N[i].zone))
end

-- What i needs and nobody in its zone has.
function wanted_from_abroad(j, i) return without(j.key .. ':all', j.have[i], into_key(j, N[i].zone)) end
